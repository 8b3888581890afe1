# The mutation kinds that the plugin contributes, and what each does.
#
# Owns `NeuralMutation` (a whole proposal), `NeuralMating` (crossover inside a mutation step) and the native kinds of the
# prior level. The methods that the engine calls are in SRInterface.jl. Whenever a kind has nothing to offer it falls
# back to what the engine would have done without us.

abstract type OwnMutation <: AbstractMutation end

"""Take a proposed child from stock in place of editing the parent."""
struct NeuralMutation <: OwnMutation end

"""
Recombine the parent with a partner preferred by the predicted parent weights. The engine's crossover probability is
fixed; this kind raises the share of recombination towards the predicted one (it cannot lower it).
"""
struct NeuralMating <: OwnMutation end

"""Make a small change out of those whose effect was looked at, here and now (Changes.jl)."""
struct ForesightMutation <: OwnMutation end

abstract type NativeMutation <: OwnMutation end

"""Like `AddNodeMutation`, sampling from the predicted prior."""
struct NeuralAdd <: NativeMutation end
"""Like `InsertNodeMutation`, sampling from the predicted prior."""
struct NeuralInsert <: NativeMutation end
"""Like `OperatorMutation`, sampling from the predicted prior."""
struct NeuralOperator <: NativeMutation end
"""Like `FeatureMutation`, sampling from the predicted prior."""
struct NeuralFeature <: NativeMutation end
"""Like `RandomizeMutation`, sampling from the predicted prior."""
struct NeuralRandomize <: NativeMutation end

const NATIVE_KINDS = (
    NeuralAdd() => AddNodeMutation(),
    NeuralInsert() => InsertNodeMutation(),
    NeuralOperator() => OperatorMutation(),
    NeuralFeature() => FeatureMutation(),
    NeuralRandomize() => RandomizeMutation(),
)

builtin(::NeuralAdd) = AddNodeMutation()
builtin(::NeuralInsert) = InsertNodeMutation()
builtin(::NeuralOperator) = OperatorMutation()
builtin(::NeuralFeature) = FeatureMutation()
builtin(::NeuralRandomize) = RandomizeMutation()

const WIRE_KINDS = Dict{DataType,Symbol}(
    ConstantMutation => :constant, OperatorMutation => :operator, FeatureMutation => :feature,
    SwapOperandsMutation => :swap, RotateTreeMutation => :rotate, AddNodeMutation => :add,
    InsertNodeMutation => :insert, DeleteNodeMutation => :delete, SimplifyMutation => :simplify,
    RandomizeMutation => :randomize, DoNothingMutation => :do_nothing, OptimizeMutation => :optimize,
)

"""Levels that change the weights of mutations."""
const CONDITIONING = KIND | CHILD | CROSSOVER | PRIOR | FORESIGHT

"""Weight in `options.mutations` of kinds whose weight is set anew at every step."""
const NOMINAL_WEIGHT = 1e-3

function contributed_mutations(plugin::NeuralProposerPlugin)
    kinds = Pair{AbstractMutation,Float64}[]
    has(plugin.levels, CHILD) && push!(kinds, NeuralMutation() => NOMINAL_WEIGHT)
    has(plugin.levels, CROSSOVER) && push!(kinds, NeuralMating() => NOMINAL_WEIGHT)
    has(plugin.levels, FORESIGHT) && push!(kinds, ForesightMutation() => NOMINAL_WEIGHT)
    has(plugin.levels, PRIOR) && append!(kinds, (own => NOMINAL_WEIGHT for (own, _) in NATIVE_KINDS))
    return kinds
end

function Positions(options)
    types = [typeof(kind) for (kind, _) in options.mutations]
    at(type) = something(findfirst(==(type), types), 0)
    native = [(at(typeof(own)), at(typeof(other))) for (own, other) in NATIVE_KINDS]
    filter!(pair -> first(pair) > 0, native)
    kinds = [something(findfirst(==(get(WIRE_KINDS, type, :none)), KINDS), 0) for type in types]
    return Positions(at(NeuralMutation), at(NeuralMating), at(ForesightMutation), native, kinds)
end

"""
Condition the weights of one mutation step: multiply by the predicted ratios, split the native kinds' weight off the
engine's, and give whole proposals their share while some are in stock. Zeros of the engine stay zero, and the sum stays
positive.
"""
function condition!(weights::AbstractVector, state::ProposerState, plugin::NeuralProposerPlugin, options)
    search, positions = state.live.search, state.positions
    if has(state.levels, KIND) && !isnothing(search)
        ratios = @atomic :monotonic search.ratios
        isnothing(ratios) || scale_kinds!(weights, positions.kinds, ratios)
    end
    sampling = has(state.levels, PRIOR) && !isnothing(search) && !isnothing(@atomic :monotonic search.prior)
    share = sampling ? plugin.prior_share : 0.0
    for (own, other) in positions.native
        whole = other == 0 ? 0.0 : weights[other].second
        set_weight!(weights, own, share * whole)
        other == 0 || set_weight!(weights, other, (1 - share) * whole)
    end
    positions.neural == 0 || set_weight!(weights, positions.neural, 0.0)
    positions.mating == 0 || set_weight!(weights, positions.mating, 0.0)
    positions.foresight == 0 || set_weight!(weights, positions.foresight, 0.0)
    total = sum(last, weights)
    if positions.mating != 0
        extra = mating_share(state, search, options)
        set_weight!(weights, positions.mating, total * extra / (1 - extra))
    end
    if positions.foresight != 0 && has(state.levels, FORESIGHT)
        share = plugin.foresight_share
        set_weight!(weights, positions.foresight, total * share / (1 - share))
    end
    positions.neural == 0 || weigh_children!(weights, state, plugin, total)
    return nothing
end

@inline function set_weight!(weights::AbstractVector, at::Int, weight::Float64)
    weights[at] = Pair{AbstractMutation,Float64}(weights[at].first, weight)
    return nothing
end

function scale_kinds!(weights::AbstractVector, kinds::Vector{Int}, ratios::Vector{Float64})
    for i in eachindex(weights)
        kinds[i] == 0 || set_weight!(weights, i, weights[i].second * ratios[kinds[i]])
    end
    return nothing
end

function weigh_children!(weights, state::ProposerState, plugin::NeuralProposerPlugin, total::Float64)
    if total <= 0
        set_weight!(weights, state.positions.neural, 1.0)
    elseif in_stock(state.live) == 0 || !has(state.levels, CHILD)
        state.counters.starved += plugin.weight
    else
        set_weight!(weights, state.positions.neural, total * plugin.weight / (1 - plugin.weight))
    end
    return nothing
end

const LARGEST_MATING_SHARE = 0.5

function mating_share(state::ProposerState, search::Union{Nothing,Search}, options)
    (isnothing(search) || !has(state.levels, CROSSOVER)) && return 0.0
    predicted, fixed = (@atomic :monotonic search.crossover_probability), Float64(options.crossover_probability)
    (isnan(predicted) || fixed >= 1) && return 0.0
    return clamp((predicted - fixed) / (1 - fixed), 0.0, LARGEST_MATING_SHARE)
end

const CHILDREN_TRIED = 4

"""A child that replaces its parent as a whole, as `(expression, evaluations)`; `nothing` where there is none."""
whole_child(::NeuralMutation, ex, member, state, plugin, dataset, options, limit) =
    proposed_child(ex, member, state, plugin, dataset, options, limit)
function whole_child(::ForesightMutation, ex, member, state, plugin, dataset, options, limit)
    child = foreseen_child(ex, member, state, plugin, dataset, options, limit)
    return isnothing(child) ? nothing : (child, 0.0)
end

trace_type(::NeuralMutation) = "neural"
trace_type(::ForesightMutation) = "foresight"

"""
A proposed child for one mutation step, as `(expression, evaluations)`; `nothing` if the stock holds none that the
search's constraints allow.
"""
function proposed_child(ex, member, state::ProposerState, plugin::NeuralProposerPlugin, dataset, options, limit::Int)
    search = state.live.search
    isnothing(search) && return nothing
    for _ in 1:CHILDREN_TRIED
        child = take_child!(state.live)
        isnothing(child) && return nothing
        proposal = child_expression(ex, child, search, options, limit)
        isnothing(proposal) && continue
        refined, evaluations = refine(proposal, member, state, plugin, dataset, options)
        state.counters.served += 1
        push!(state.handed, Handed(get_tree(refined), member.ref, NaN))
        return refined, evaluations
    end
    return nothing
end

"""A child as an expression like `ex`; `nothing`, counted, if the search's constraints forbid it."""
function child_expression(ex, child::Child, search::Search, options, limit::Int)
    tree = decode(typeof(get_tree(ex)), child.codes, child.constants, search.table, search.features)
    proposal = with_contents(ex, tree)
    check_constraints(proposal, options, limit) && return proposal
    reject!(search.tally, "constraints", compute_complexity(proposal, options) > limit ? "size" : "form")
    return nothing
end

"""Optimise the constants of some proposals before they are judged: a proposer's constants are coarse."""
function refine(proposal, member, state::ProposerState, plugin::NeuralProposerPlugin, dataset, options)
    plugin.refine > 0 && has_constants(get_tree(proposal)) && rand() < plugin.refine || return proposal, 0.0
    candidate = copy(member)
    candidate.tree = proposal
    optimised, evaluations = optimize_constants(dataset, candidate, options)
    state.counters.refined += 1
    return optimised.tree, Float64(evaluations)
end

const PARTNERS_SEEN = 4

"""The parent recombined with a partner out of a small tournament; `nothing` without a population."""
function mated_child(ex, member, population, state::ProposerState)
    isnothing(population) && return nothing
    factors = isnothing(state.live.stock) ? nothing : (@atomic state.live.stock.parents)
    partner = nothing
    best = Inf
    for _ in 1:PARTNERS_SEEN
        candidate = population.members[rand(1:(population.n))]
        cost = Float64(candidate.cost) * cost_factor(factors, candidate)
        candidate !== member && cost < best && ((partner, best) = (candidate, cost))
    end
    isnothing(partner) && return nothing
    return first(crossover_trees(ex, partner.tree))
end

"""Cost factor of a member in a tournament: below 1 if it is preferred as a parent (above 1 for a negative cost)."""
@inline function cost_factor(factors::Union{Nothing,Dict{Int,Float64}}, member)
    isnothing(factors) && return 1.0
    factor = get(factors, member.ref, 1.0)
    return member.cost < 0 ? 1 / factor : factor
end

"""The parent with a change that was looked at first; `nothing` where nothing can be told."""
function foreseen_child(ex, member, state::ProposerState, plugin::NeuralProposerPlugin, dataset, options, limit::Int)
    foresight = foresight_of!(state, plugin, full_dataset(dataset), options)
    tree = change!(default_rng(), foresight, get_contents(ex), min(limit, FORESEEN_NODES), Int(member.ref))
    return isnothing(tree) ? nothing : with_contents(ex, tree)
end

"""The population's forethought; it looks at other rows in each iteration."""
function foresight_of!(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options)
    live, iteration = state.live, state.counters.cycles ÷ options.ncycles_per_iteration
    seed = state.population + iteration << 20
    if isnothing(live.foresight)
        table = OperatorTable(options.operators.ops)
        live.foresight = Foresight(
            dataset.X, dataset.y, table, plugin.foresight; new_places=plugin.foresight_places, seed
        )
    elseif live.foresight.seed != seed
        take_rows!(live.foresight, dataset.X, dataset.y, seed)
    end
    return live.foresight
end

"""The parent edited by a native kind, or `nothing` while no prior is known."""
function native_child(ex, kind::NativeMutation, state::ProposerState, options, limit::Int)
    search = state.live.search
    isnothing(search) && return nothing
    prior = @atomic search.prior
    isnothing(prior) && return nothing
    grammar = Grammar(prior, search.table, search.features, options)
    return with_contents(ex, edit(kind, default_rng(), grammar, get_contents(ex), limit))
end

edit(::NeuralAdd, rng, grammar, tree, _) = add_branch(rng, grammar, tree)
edit(::NeuralInsert, rng, grammar, tree, _) = insert_branch(rng, grammar, tree)
edit(::NeuralOperator, rng, grammar, tree, _) = change_operator(rng, grammar, tree)
edit(::NeuralFeature, rng, grammar, tree, _) = change_variable(rng, grammar, tree)
edit(::NeuralRandomize, rng, grammar, tree, limit) = random_tree(rng, grammar, typeof(tree), limit)

"""
What the engine would have done without our kinds: condition the weights as it does, with every plugin, give what our
kinds have of others' weight back, sample, mutate.
"""
function ordinary_mutation(
    ex::N, member::P, options; curmaxsize, nfeatures, plugin_states, context=nothing, kws...
) where {N<:AbstractExpression,P<:AbstractPopMember}
    weights = ordinary_weights(member, options, curmaxsize, nfeatures, plugin_states)
    index = draw(default_rng(), i -> weights[i].second, eachindex(weights))
    index == 0 && return MutationResult{N,P}(; tree=ex, success=false)
    kind = weights[index].first
    fresh = SymbolicRegression.prepare_mutation_context(kind)
    if !isnothing(fresh)
        map(options.plugins, plugin_states) do plugin, state
            SymbolicRegression.condition_mutation!(fresh, state, plugin, kind, options)
        end
    end
    return mutate!(ex, member, kind, options; curmaxsize, nfeatures, plugin_states, context=fresh, kws...)
end

function ordinary_weights(member, options, curmaxsize, nfeatures, plugin_states)
    weights = Vector{Pair{AbstractMutation,Float64}}(options.mutations)
    found = find_state(options.plugins, plugin_states)
    starved = isnothing(found) ? 0.0 : last(found).counters.starved
    SymbolicRegression.condition_mutation_weights!(weights, member, options, curmaxsize, nfeatures)
    map(options.plugins, plugin_states) do plugin, state
        SymbolicRegression.condition_mutation_weights!(
            weights, state, plugin, member, options, curmaxsize, nfeatures
        )
    end
    if !isnothing(found)
        state = last(found)
        state.counters.starved = starved  # This step was counted when it was weighed first.
        for (own, other) in state.positions.native
            other == 0 || set_weight!(weights, other, weights[other].second + weights[own].second)
        end
    end
    for i in eachindex(weights)
        weights[i].first isa OwnMutation && set_weight!(weights, i, 0.0)
    end
    return weights
end
