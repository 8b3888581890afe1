# The crossover kind that the plugin contributes.
#
# Owns `NeuralCrossover`: of the two children, the first is a proposed recombination out of the stock, the second comes
# from the engine's own crossover of the two parents. With nothing in stock both do.

"""Take a proposed recombination as one of a crossover's two children."""
struct NeuralCrossover <: AbstractCrossover end

function contributed_crossovers(plugin::NeuralProposerPlugin)
    offered = has(plugin.levels, CROSSOVER) && plugin.crossover_weight > 0
    return offered ? (NeuralCrossover() => plugin.crossover_weight,) : ()
end

"""The engine's crossover without ours: sampled by weight among the other kinds."""
function ordinary_crossover(member1, member2, options; kws...)
    kinds = options.crossovers
    weight(i) = kinds[i].first isa NeuralCrossover ? 0.0 : Float64(kinds[i].second)
    index = draw(default_rng(), weight, eachindex(kinds))
    kind = index == 0 ? SubtreeCrossover() : kinds[index].first
    return crossover(member1, member2, kind, options; kws...)
end

"""A proposed recombination as an expression, or `nothing`."""
function proposed_recombination(member, state::ProposerState, options, limit::Int)
    search, stock = state.live.search, state.live.stock
    (isnothing(search) || isnothing(stock) || !has(state.levels, CROSSOVER)) && return nothing
    child = take_child!(stock; crossover=true)
    isnothing(child) && return nothing
    proposal = child_expression(member.tree, child, search, options, limit)
    isnothing(proposal) && return nothing
    state.counters.served += 1
    state.counters.crossovers += 1
    push!(state.handed, Handed(get_tree(proposal), member.ref, NaN))
    return proposal
end
