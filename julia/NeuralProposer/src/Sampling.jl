# Native sampling from the predicted prior: our own versions of five of the engine's tree edits.
#
# Owns drawing symbols and building branches. Each edit does what the engine's does, but draws operators, variables and
# the choice between constant and variable from the prior, given the parent operator where there is one.

const CONSTANT_ROW, VARIABLE_ROW, OPERATOR_ROW = 1, 2, 2

"""What sampling needs to know about a search."""
struct Grammar{O}
    prior::Prior
    table::OperatorTable
    features::Int
    options::O
end

root_column(grammar::Grammar) = length(grammar.table) + 1
column_of(grammar::Grammar, parent) = wire_index(grammar.table, parent.degree, parent.op)

function row_of(grammar::Grammar, node)
    node.degree == 0 && return node.constant ? CONSTANT_ROW : VARIABLE_ROW
    return OPERATOR_ROW + wire_index(grammar.table, node.degree, node.op)
end

"""Draw an index with probability in proportion to `weight(index)`; 0 if all weights are 0."""
function draw(rng::AbstractRNG, weight::F, indices) where {F}
    total = 0.0
    for i in indices
        total += weight(i)
    end
    total > 0 || return 0
    threshold = rand(rng) * total
    last_positive = 0
    for i in indices
        w = weight(i)
        w > 0 || continue
        last_positive = i
        threshold -= w
        threshold < 0 && return i
    end
    return last_positive
end

"""The parent of a node and the node's place below it; `nothing` for the root."""
function parent_of(tree::N, node::N) where {N<:AbstractExpressionNode}
    tree === node && return nothing
    for i in 1:Int(tree.degree)
        child = get_child(tree, i)
        child === node && return tree
        child.degree == 0 && continue
        found = parent_of(child, node)
        isnothing(found) || return found
    end
    return nothing
end

function parent_column(grammar::Grammar, tree, node)
    parent = parent_of(tree, node)
    return isnothing(parent) ? root_column(grammar) : column_of(grammar, parent)
end

function draw_variable(rng::AbstractRNG, grammar::Grammar; except::Int=0)
    variables = grammar.prior.variables
    return draw(rng, i -> i == except ? 0.0 : variables[i], 1:(grammar.features))
end

function draw_leaf(rng::AbstractRNG, grammar::Grammar, ::Type{N}, column::Int) where {T,N<:AbstractExpressionNode{T}}
    pairs = grammar.prior.pairs
    constant, variable = pairs[CONSTANT_ROW, column], pairs[VARIABLE_ROW, column]
    if rand(rng) * (constant + variable) < constant
        return N(; val=sample_value(rng, T, grammar.options))
    end
    return N(; feature=draw_variable(rng, grammar))
end

"""Draw an operator below `column`; with `carried`, one that suits carrying that node; of arity up to `largest`."""
function draw_operator(rng::AbstractRNG, grammar::Grammar, column::Int; carried=nothing, largest::Int=typemax(Int))
    pairs, arities = grammar.prior.pairs, grammar.table.arities
    row = isnothing(carried) ? 0 : row_of(grammar, carried)
    weight(i) = arities[i] > largest ? 0.0 : pairs[OPERATOR_ROW + i, column] * (row == 0 ? 1.0 : pairs[row, i])
    return draw(rng, weight, 1:length(grammar.table))
end

"""A new branch below `column`: an operator with fresh leaves, one of which is `carried` if given."""
function draw_branch(
    rng::AbstractRNG, grammar::Grammar, ::Type{N}, column::Int; carried::Union{Nothing,N}=nothing, largest=typemax(Int)
) where {N<:AbstractExpressionNode}
    index = draw_operator(rng, grammar, column; carried, largest)
    index == 0 && return nothing
    degree, op = engine_index(grammar.table, index)
    place = isnothing(carried) ? 0 : rand(rng, 1:degree)
    children = N[i == place ? carried : draw_leaf(rng, grammar, N, index) for i in 1:degree]
    return N(; op, children)
end

is_leaf(node) = node.degree == 0
random_leaf(rng, tree) = rand(rng, NodeSampler(; tree, filter=is_leaf))

"""Replace a random leaf by a branch, or put a branch on top of the tree."""
function add_branch(rng::AbstractRNG, grammar::Grammar, tree::N) where {N<:AbstractExpressionNode}
    if rand(rng, Bool)
        return something(draw_branch(rng, grammar, N, root_column(grammar); carried=tree), tree)
    end
    leaf = random_leaf(rng, tree)
    branch = draw_branch(rng, grammar, N, parent_column(grammar, tree, leaf))
    isnothing(branch) || set_node!(leaf, branch)
    return tree
end

"""Insert an operator between a random node and its parent."""
function insert_branch(rng::AbstractRNG, grammar::Grammar, tree::N) where {N<:AbstractExpressionNode}
    node = rand(rng, NodeSampler(; tree))
    branch = draw_branch(rng, grammar, N, parent_column(grammar, tree, node); carried=copy(node))
    isnothing(branch) || set_node!(node, branch)
    return tree
end

"""Exchange the operator of a random node for one of the same arity that suits its parent and its children."""
function change_operator(rng::AbstractRNG, grammar::Grammar, tree::N) where {N<:AbstractExpressionNode}
    any(!is_leaf, tree) || return tree
    node = rand(rng, NodeSampler(; tree, filter=!is_leaf))
    pairs, arities = grammar.prior.pairs, grammar.table.arities
    column, degree = parent_column(grammar, tree, node), Int(node.degree)
    function weight(i)
        arities[i] == degree || return 0.0
        below = prod(child -> pairs[row_of(grammar, get_child(node, child)), i], 1:degree)
        return pairs[OPERATOR_ROW + i, column] * below
    end
    index = draw(rng, weight, 1:length(grammar.table))
    index == 0 || (node.op = last(engine_index(grammar.table, index)))
    return tree
end

is_variable(node) = node.degree == 0 && !node.constant

"""Let a random variable leaf stand for another variable."""
function change_variable(rng::AbstractRNG, grammar::Grammar, tree::N) where {N<:AbstractExpressionNode}
    grammar.features > 1 && any(is_variable, tree) || return tree
    node = rand(rng, NodeSampler(; tree, filter=is_variable))
    drawn = draw_variable(rng, grammar; except=Int(node.feature))
    drawn == 0 || (node.feature = drawn)
    return tree
end

"""A new tree of a random size up to `largest`, grown at random leaves."""
function random_tree(rng::AbstractRNG, grammar::Grammar, ::Type{N}, largest::Int) where {N<:AbstractExpressionNode}
    tree = draw_leaf(rng, grammar, N, root_column(grammar))
    remaining = rand(rng, 1:max(largest, 1)) - 1
    while remaining > 0
        leaf = random_leaf(rng, tree)
        branch = draw_branch(rng, grammar, N, parent_column(grammar, tree, leaf); largest=remaining)
        isnothing(branch) && break
        remaining -= Int(branch.degree)
        set_node!(leaf, branch)
    end
    return tree
end
