# Expressions as integer codes: the twin of pysr_neural/wire/codes.py.
#
# Owns prefix codes and the constants beside them. Code 0 is a constant, 1 ... F are the variables, F + 1 ... the
# operators in wire order (Operators.jl).

"""
    encode!(codes, constants, node, table, features)

Append the prefix codes of a tree, and its constants as `Float64`.
"""
function encode!(
    codes::Vector{Int32}, constants::Vector{Float64}, node::AbstractExpressionNode, table::OperatorTable, features::Int
)
    if node.degree == 0
        if node.constant
            push!(codes, 0)
            push!(constants, Float64(node.val))
        else
            push!(codes, node.feature)
        end
        return nothing
    end
    push!(codes, features + wire_index(table, node.degree, node.op))
    for i in 1:Int(node.degree)
        encode!(codes, constants, get_child(node, i), table, features)
    end
    return nothing
end

"""
    fault_of(codes, constants, table, features) -> Symbol or nothing

What keeps codes from being exactly one expression of the search: `:empty`, `:unknown_code`, `:arity`, `:constants` or
`:not_finite`; `nothing` if they are sound.
"""
function fault_of(
    codes::AbstractVector{<:Integer}, constants::AbstractVector{Float64}, table::OperatorTable, features::Int
)
    isempty(codes) && return :empty
    open_slots, zeros_seen = 1, 0
    for code in codes
        open_slots == 0 && return :arity
        0 <= code <= features + length(table) || return :unknown_code
        zeros_seen += code == 0
        open_slots += code <= features ? -1 : Int(table.arities[code - features]) - 1
    end
    open_slots == 0 || return :arity
    zeros_seen == length(constants) || return :constants
    all(isfinite, constants) || return :not_finite
    return nothing
end

"""
    decode(N, codes, constants, table, features) -> N

Build a tree of node type `N` from sound codes (see [`fault_of`](@ref)).
"""
function decode(
    ::Type{N},
    codes::AbstractVector{<:Integer},
    constants::AbstractVector{Float64},
    table::OperatorTable,
    features::Int,
) where {T,N<:AbstractExpressionNode{T}}
    stack = N[]
    remaining = length(constants)
    for code in Iterators.reverse(codes)
        if code == 0
            push!(stack, N(; val=convert(T, constants[remaining])))
            remaining -= 1
        elseif code <= features
            push!(stack, N(; feature=Int(code)))
        else
            degree, op = engine_index(table, code - features)
            push!(stack, N(; op, children=N[pop!(stack) for _ in 1:degree]))
        end
    end
    return only(stack)
end
