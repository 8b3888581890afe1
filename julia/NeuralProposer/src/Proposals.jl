# What the server proposed, waiting to be used.
#
# Owns children, stocks, the predicted prior, kind ratios and parent preferences. Filled by the client task, read by the
# hooks: everything here is either immutable and swapped as a whole, or under a short lock.

"""What an expression leaves of the data: more than noise, only noise, nothing."""
@enum Remainder::Int32 SOMETHING ONLY_NOISE NOTHING

"""
One proposed expression; `kind` is its wire index, `log_probability` is NaN where it is not known, `leaves` is what it
leaves of the data as the server sees them, in double precision.
"""
struct Child
    codes::Vector{Int32}
    constants::Vector{Float64}
    kind::Int
    log_probability::Float64
    leaves::Remainder
end
Child(codes, constants, kind, log_probability) = Child(codes, constants, kind, log_probability, SOMETHING)

is_crossover(child::Child) = child.kind == CROSSOVER_KIND
const CROSSOVER_KIND = findfirst(==(:crossover), KINDS)::Int

const STOCK_LIMIT = 4096

"""Children waiting for one population, and which of its members to prefer as parents."""
mutable struct Stock
    const lock::ReentrantLock
    const children::Vector{Child}
    @atomic count::Int
    @atomic crossovers::Int
    @atomic parents::Union{Nothing,Dict{Int,Float64}}
end
Stock() = Stock(ReentrantLock(), Child[], 0, 0, nothing)

Base.length(stock::Stock) = @atomic :monotonic stock.count

function Base.put!(stock::Stock, children::Vector{Child})
    @lock stock.lock begin
        append!(stock.children, children)
        excess = length(stock.children) - STOCK_LIMIT
        excess > 0 && deleteat!(stock.children, 1:excess)
        recount!(stock)
    end
    return nothing
end

"""Take the oldest child, or the oldest one that recombines two parents; `nothing` if there is none."""
function take_child!(stock::Stock; crossover::Bool=false)
    waiting = crossover ? (@atomic :monotonic stock.crossovers) : length(stock)
    waiting == 0 && return nothing
    return @lock stock.lock begin
        at = crossover ? findfirst(is_crossover, stock.children) : firstindex(stock.children)
        if isnothing(at) || isempty(stock.children)
            nothing
        else
            child = popat!(stock.children, at)
            recount!(stock)
            child
        end
    end
end

"""Take all children."""
function take_all!(stock::Stock)
    return @lock stock.lock begin
        children = copy(stock.children)
        empty!(stock.children)
        recount!(stock)
        children
    end
end

function recount!(stock::Stock)
    @atomic stock.count = length(stock.children)
    @atomic stock.crossovers = count(is_crossover, stock.children)
    return nothing
end

function Base.empty!(stock::Stock)
    @lock stock.lock begin
        empty!(stock.children)
        recount!(stock)
    end
    @atomic stock.parents = nothing
    return stock
end

"""
Predicted probabilities over building blocks: `operators` in wire order, `variables`, and `pairs[symbol, parent]` with
the symbols constant, variable, operators ... below the parents operators ..., root. Every entry is positive, so that
native sampling can still reach everything.
"""
struct Prior
    operators::Vector{Float64}
    variables::Vector{Float64}
    pairs::Matrix{Float64}
end

"""Share of the uniform distribution in every predicted one."""
const UNIFORM_SHARE = 0.1

function Prior(operators::Vector{Float64}, variables::Vector{Float64}, pairs::Vector{Float64}, count::Int)
    matrix = if isempty(pairs)
        default_pairs(softened(operators), count)
    else
        mapslices(softened, reshape(pairs, count + 2, count + 1); dims=1)
    end
    return Prior(softened(operators), softened(variables), matrix)
end

"""Scale weights to sum 1 and mix in the uniform distribution; anything unusable counts as 0."""
function softened(weights::AbstractVector{Float64})
    kept = map(w -> isfinite(w) && w > 0 ? w : 0.0, weights)
    total = sum(kept)
    uniform = 1 / length(kept)
    isfinite(total) && total > 0 || return fill(uniform, length(kept))
    return @. (1 - UNIFORM_SHARE) * kept / total + UNIFORM_SHARE * uniform
end

function default_pairs(operators::Vector{Float64}, count::Int)
    column = vcat(0.25, 0.25, 0.5 .* operators)
    return repeat(column, 1, count + 1)
end

"""Largest change of a mutation kind's weight by the predicted weights, either way."""
const KIND_RATIO_BOUND = 4.0

"""Predicted kind weights as bounded factors around 1."""
function kind_ratios(weights::Vector{Float64})
    kept = map(w -> isfinite(w) && w > 0 ? w : 0.0, weights)
    mean = sum(kept) / length(kept)
    isfinite(mean) && mean > 0 || return nothing
    return clamp.(kept ./ mean, 1 / KIND_RATIO_BOUND, KIND_RATIO_BOUND)
end

"""Largest change of a member's cost in a tournament by the predicted parent weights, either way."""
const PARENT_RATIO_BOUND = 1.5

"""Predicted parent weights as cost factors: below 1 for a member that is preferred."""
function parent_factors(references::Vector{Int}, weights::Vector{Float64})
    kept = map(w -> isfinite(w) && w > 0 ? w : 0.0, weights)
    mean = sum(kept) / max(length(kept), 1)
    isfinite(mean) && mean > 0 || return nothing
    factors = clamp.(sqrt.(mean ./ max.(kept, mean / 1e3)), 1 / PARENT_RATIO_BOUND, PARENT_RATIO_BOUND)
    return Dict(zip(references, factors))
end
