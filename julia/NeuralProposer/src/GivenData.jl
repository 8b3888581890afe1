# The data of a fit as its user gave them, before the engine rounds them to its precision.
#
# Owns keeping them for the length of a fit, and handing them to its searches. Proposals are joined by regression, and
# what single precision rounds away looks to it like noise: exact laws are then told from near misses no more.

"""Data by session: X, features x rows; y, outputs x rows."""
const GIVEN_DATA = Dict{String,Tuple{Matrix{Float64},Matrix{Float64}}}()

"""
    keep_data(session, X, y)

Keep the data of a fit for the searches of `session` in this process, until [`forget_data`](@ref): `X`, features x rows,
and `y`, outputs x rows.
"""
function keep_data(session::AbstractString, X::AbstractMatrix, y::AbstractMatrix)
    @lock REGISTRY_LOCK GIVEN_DATA[session] = (X, y)
    return nothing
end

"""
    forget_data(session)

Forget what was kept for a session, if anything was.
"""
function forget_data(session::AbstractString)
    @lock REGISTRY_LOCK delete!(GIVEN_DATA, session)
    return nothing
end

"""
Some rows of a search's data in double precision: as they were given, where the engine's own are those rounded; else the
engine's, since a fit may search other data than it was given.
"""
function exact_data(search, dataset, rows)
    X, y = dataset.X[:, rows], dataset.y[rows]
    given = @lock REGISTRY_LOCK get(GIVEN_DATA, search.plugin.session, nothing)
    if !isnothing(given) && size(first(given)) == size(dataset.X) && search.output <= size(last(given), 1)
        exact_X, exact_y = first(given)[:, rows], last(given)[search.output, rows]
        eltype(X).(exact_X) == X && eltype(y).(exact_y) == y && return exact_X, exact_y
    end
    return Matrix{Float64}(X), Vector{Float64}(y)
end
