# Every method that SymbolicRegression dispatches into, and nothing else.
#
# Arguments are typed as the engine's own fallbacks type them: a looser method would be ambiguous and end the search.
# Every body is guarded. A hook that the installed engine lacks (Probe.jl) gets no method.

# `find_state` tells our own state among those of all plugins; a plugin without a state means the kind was put into
# `mutations=` by hand, and then it only falls back.

@static if is_present(:init_plugin_state)
    function SymbolicRegression.init_plugin_state(plugin::NeuralProposerPlugin, options, dataset)
        try
            return first_state(plugin, options, dataset)
        catch error
            error isa InterruptException && rethrow()
            plugin.verbose &&
                @warn "The neural proposer records only: its state could not be made." exception = error
            return inert_state(options)
        end
    end
end

@static if is_present(:fork_plugin_state)
    function SymbolicRegression.fork_plugin_state(head::ProposerState, ::NeuralProposerPlugin, dataset)
        return forked_state(head)
    end
end

@static if is_present(:refresh_worker_plugin_state)
    function SymbolicRegression.refresh_worker_plugin_state(
        worker::ProposerState, head::ProposerState, ::NeuralProposerPlugin, dataset
    )
        return guarded(() -> exchange_state!(worker, head), head, "refresh_worker_plugin_state", worker)
    end
end

@static if is_present(:plugin_mutations)
    SymbolicRegression.plugin_mutations(plugin::NeuralProposerPlugin) = contributed_mutations(plugin)
end

@static if is_present(:plugin_crossovers)
    SymbolicRegression.plugin_crossovers(plugin::NeuralProposerPlugin) = contributed_crossovers(plugin)
end

@static if is_present(:on_search_start!)
    function SymbolicRegression.on_search_start!(
        state::ProposerState, plugin::NeuralProposerPlugin, dataset, options, ropt
    )
        records_only(state) && return nothing
        return guarded(() -> start_search!(state, plugin, dataset, options, ropt), state, "on_search_start!", nothing)
    end
end

@static if is_present(:init_member)
    function SymbolicRegression.init_member(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options)
        records_only(state) && return nothing
        return guarded(() -> initial_tree(state, plugin, dataset, options), state, "init_member", nothing)
    end
end

@static if is_present(:on_cycle_start!)
    function SymbolicRegression.on_cycle_start!(
        state::ProposerState, ::NeuralProposerPlugin, cycle_idx::Int, ncycles::Int, options
    )
        return cycle_started!(state, cycle_idx, ncycles)
    end
end

@static if is_present(:on_cycle_end!)
    function SymbolicRegression.on_cycle_end!(
        state::ProposerState, plugin::NeuralProposerPlugin, pop, dataset, hof, options
    )
        return guarded(
            () -> cycle_ended!(state, plugin, pop, dataset, hof, options), state, "on_cycle_end!", nothing
        )
    end
end

@static if is_present(:condition_mutation_weights!)
    function SymbolicRegression.condition_mutation_weights!(
        weights::AbstractVector,
        state::ProposerState,
        plugin::NeuralProposerPlugin,
        member,
        options,
        curmaxsize,
        nfeatures,
    )
        note_parent!(state, member)
        records_only(state) && return nothing
        state.curmaxsize = curmaxsize
        has(state.levels, CONDITIONING) || return nothing
        return guarded(
            () -> condition!(weights, state, plugin, options), state, "condition_mutation_weights!", nothing
        )
    end
end

@static if is_present(:tournament_cost_multiplier)
    function SymbolicRegression.tournament_cost_multiplier(
        state::ProposerState, ::NeuralProposerPlugin{true}, member, options
    )
        has(state.levels, PARENTS) || return 1.0
        stock = state.live.stock
        isnothing(stock) && return 1.0
        return cost_factor((@atomic :monotonic stock.parents), member)
    end
end

@static if is_present(:mutation_acceptance_multiplier)
    function SymbolicRegression.mutation_acceptance_multiplier(
        state::ProposerState, ::NeuralProposerPlugin, context::MutationAcceptanceContext, options
    )
        note_child!(state, context.new_tree)
        return 1.0
    end
end

@static if is_present(:on_mutation_end!)
    function SymbolicRegression.on_mutation_end!(
        state::ProposerState,
        ::NeuralProposerPlugin,
        mutation::AbstractMutation,
        event::MutationEvent,
        dataset,
        options,
    )
        return guarded(() -> mutation_ended!(state, mutation, event, options), state, "on_mutation_end!", nothing)
    end
end

@static if is_present(:on_generation_end!)
    function SymbolicRegression.on_generation_end!(
        state::ProposerState, plugin::NeuralProposerPlugin, search_state, dataset, options, ropt, returned_pop
    )
        return guarded(
            () -> generation_ended!(state, plugin, search_state, dataset, options, returned_pop),
            state,
            "on_generation_end!",
            nothing,
        )
    end
end

@static if is_present(:on_search_end!)
    function SymbolicRegression.on_search_end!(
        state::ProposerState, ::NeuralProposerPlugin, search_state, dataset, options, ropt
    )
        return guarded(() -> search_ended!(state, search_state, dataset, options), state, "on_search_end!", nothing)
    end
end

function SymbolicRegression.mutate!(
    new_tree::N,
    parent_member::P,
    kind::Union{NeuralMutation,ForesightMutation},
    options::AbstractOptions;
    attempt::Int=1,
    trace=nothing,
    dataset,
    curmaxsize,
    plugin_states,
    kws...,
) where {N<:AbstractExpression,P<:AbstractPopMember}
    found = find_state(options.plugins, plugin_states)
    if !isnothing(found)
        plugin, state = found
        state.served = false
        child = if attempt > 1
            nothing
        else
            guarded(state, "mutate!", nothing) do
                whole_child(kind, new_tree, parent_member, state, plugin, dataset, options, curmaxsize)
            end
        end
        if !isnothing(child)
            state.served = kind isa NeuralMutation
            note_type!(trace, trace_type(kind))
            return MutationResult{N,P}(; tree=first(child), num_evals=last(child))
        end
        state.counters.fallbacks += 1
    end
    return ordinary_mutation(
        new_tree, parent_member, options; attempt, trace, dataset, curmaxsize, plugin_states, kws...
    )
end

function SymbolicRegression.mutate!(
    new_tree::N,
    parent_member::P,
    ::NeuralMating,
    options::AbstractOptions;
    trace=nothing,
    plugin_states,
    population_for_backsolve=nothing,
    kws...,
) where {N<:AbstractExpression,P<:AbstractPopMember}
    child = offered(options, plugin_states, "mutate!") do state
        mated_child(new_tree, parent_member, population_for_backsolve, state)
    end
    if !isnothing(child)
        note_type!(trace, "neural_mating")
        return MutationResult{N,P}(; tree=child)
    end
    return ordinary_mutation(
        new_tree, parent_member, options; trace, plugin_states, population_for_backsolve, kws...
    )
end

function SymbolicRegression.mutate!(
    new_tree::N,
    parent_member::P,
    kind::NativeMutation,
    options::AbstractOptions;
    trace=nothing,
    curmaxsize,
    plugin_states,
    kws...,
) where {N<:AbstractExpression,P<:AbstractPopMember}
    child = offered(options, plugin_states, "mutate!") do state
        native_child(new_tree, kind, state, options, curmaxsize)
    end
    if !isnothing(child)
        note_type!(trace, "neural_prior")
        return MutationResult{N,P}(; tree=child)
    end
    return mutate!(
        new_tree, parent_member, builtin(kind), options; trace, curmaxsize, plugin_states, kws...
    )
end

function SymbolicRegression.crossover(
    member1::P,
    member2::P,
    ::NeuralCrossover,
    options::AbstractOptions;
    attempt::Int=1,
    trace=nothing,
    curmaxsize,
    plugin_states,
    kws...,
) where {T,L,N<:AbstractExpression,P<:AbstractPopMember{T,L,N}}
    ordinary = ordinary_crossover(member1, member2, options; attempt, trace, curmaxsize, plugin_states, kws...)
    attempt > 1 && return ordinary
    child = offered(options, plugin_states, "crossover") do state
        proposed_recombination(member1, state, options, curmaxsize)
    end
    isnothing(child) && return ordinary
    note_type!(trace, "neural_crossover")
    return CrossoverResult{N}(; child1=child, child2=ordinary.child2, num_evals=ordinary.num_evals)
end

"""What `f` makes of our own state; `nothing` where there is no such state, or `f` fails or has nothing to offer."""
@inline function offered(f::F, options, plugin_states, label::String) where {F}
    found = find_state(options.plugins, plugin_states)
    isnothing(found) && return nothing
    state = last(found)
    return guarded(() -> f(state), state, label, nothing)
end

note_type!(::Nothing, ::String) = nothing
function note_type!(trace, type::String)
    trace["type"] = type
    return nothing
end
