# The operators of one search in wire order, under the names that pysr_neural/operators.py knows.
#
# Owns the order (all unary, then all binary, ...) and the translation of names. Does not own codes (Codes.jl).

"""Names that differ between SymbolicRegression.jl and the wire; custom operators keep their Julia name."""
const CANONICAL_NAMES = Dict{String,String}(
    "plus" => "+",
    "sub" => "-",
    "mult" => "*",
    "div" => "/",
    "pow" => "^",
    "safe_pow" => "^",
    "safe_log" => "log",
    "safe_log2" => "log2",
    "safe_log10" => "log10",
    "safe_log1p" => "log1p",
    "safe_sqrt" => "sqrt",
    "safe_asin" => "asin",
    "safe_acos" => "acos",
    "safe_acosh" => "acosh",
    "safe_atanh" => "atanh",
)

"""
The operators of a search. Operator `op` of arity `degree` has the wire index `offsets[degree] + op` (1-based here,
0-based on the wire).
"""
struct OperatorTable
    names::Vector{String}
    arities::Vector{Int32}
    offsets::Vector{Int}
end

function OperatorTable(operators::Tuple)
    names, arities, offsets = String[], Int32[], Int[]
    for (degree, functions) in enumerate(operators)
        push!(offsets, length(names))
        append!(names, (canonical_name(f, degree) for f in functions))
        append!(arities, (Int32(degree) for _ in functions))
    end
    return OperatorTable(distinct(names), arities, offsets)
end

"""Names as they are, but for repetitions, which get a number."""
function distinct(names::Vector{String})
    return [count(==(name), view(names, 1:i)) == 1 ? name : "$(name)_$i" for (i, name) in enumerate(names)]
end

Base.length(table::OperatorTable) = length(table.names)

"""Wire index (1-based) of an operator of the engine."""
@inline wire_index(table::OperatorTable, degree::Integer, op::Integer) = table.offsets[degree] + Int(op)

"""Arity and the engine's index of the operator at a wire index (1-based)."""
@inline function engine_index(table::OperatorTable, index::Integer)
    degree = Int(table.arities[index])
    return degree, Int(index) - table.offsets[degree]
end

function canonical_name(f, degree::Integer)
    name = string(nameof(f))
    degree == 1 && name in ("-", "sub") && return "neg"
    # A user's own `safe_log` is not the engine's.
    return Base.moduleroot(parentmodule(f)) === Main ? name : get(CANONICAL_NAMES, name, name)
end

"""Nested constraints as the wire has them: one column (outer, inner, count) per constraint, 0-based."""
function nested_triples(options, table::OperatorTable)
    triples = NTuple{3,Int32}[]
    for (degree, op, inner) in something(options.nested_constraints, ())
        for (inner_degree, inner_op, count) in inner
            outer_index = wire_index(table, degree, op) - 1
            push!(triples, (outer_index, wire_index(table, inner_degree, inner_op) - 1, count))
        end
    end
    return Int32[triple[row] for row in 1:3, triple in triples]
end

"""
Limits on the sizes of arguments as the wire has them: one column (operator, argument, size) per limit, 0-based. None
where a function of the user counts sizes: the proposer cannot follow it.
"""
function argument_triples(options, table::OperatorTable)
    triples = NTuple{3,Int32}[]
    counted_by_user = hasproperty(options, :complexity_mapping) && options.complexity_mapping isa Function
    if hasproperty(options, :op_constraints) && !counted_by_user
        for (degree, limits) in enumerate(options.op_constraints), (op, sizes) in enumerate(limits), i in 1:degree
            sizes[i] == -1 || push!(triples, (wire_index(table, degree, op) - 1, i - 1, sizes[i]))
        end
    end
    return Int32[triple[row] for row in 1:3, triple in triples]
end

const COMPLEXITY_FIELDS = (:use, :op_complexities, :variable_complexity, :constant_complexity)

"""Complexities of a constant, each variable and each operator; empty where each is 1, or a function counts them."""
function complexities_of(options, table::OperatorTable, features::Int)
    mapping = hasproperty(options, :complexity_mapping) ? options.complexity_mapping : nothing
    all(name -> hasproperty(mapping, name), COMPLEXITY_FIELDS) && mapping.use || return Float64[]
    variable = mapping.variable_complexity
    variables = variable isa AbstractVector ? Float64.(variable) : fill(Float64(variable), features)
    operators = Float64[complexity for part in mapping.op_complexities for complexity in part]
    length(variables) == features && length(operators) == length(table) || return Float64[]
    return [Float64(mapping.constant_complexity); variables; operators]
end
