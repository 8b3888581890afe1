# The plugin's state: one on the head for each output, one per population, as the engine wants it.
#
# Owns `ProposerState`, how it travels between processes, and `guarded`. A state is plain data but for its `live` link,
# which stays behind when the state travels and is restored by `attach!`.

"""
The way from a state to the live search of this process; empty after a journey between processes. `stock` is the
population's own, `common` the head's, where initial members go that came too late; `recording` is there if the population is
recorded; `foresight` once the population has looked ahead.
"""
mutable struct Live
    search::Union{Nothing,Search}
    stock::Union{Nothing,Stock}
    common::Union{Nothing,Stock}
    recording::Union{Nothing,Recording}
    foresight::Union{Nothing,Foresight}
end
Live() = Live(nothing, nothing, nothing, nothing, nothing)
function Live(search::Search, population::Int)
    recorded = search.tracing && is_recorded(search.plugin, search.output, population)
    recording = recorded ? Recording(population) : nothing
    return Live(search, stock_of(search, population), stock_of(search, 0), recording, nothing)
end

"""How many children a population could take now."""
function in_stock(live::Live)
    isnothing(live.stock) && return 0
    return length(live.stock) + (live.common === live.stock ? 0 : length(live.common))
end

"""The next child for a population: its own, else one of those for everyone."""
function take_child!(live::Live)
    child = take_child!(live.stock)
    return isnothing(child) ? take_child!(live.common) : child
end

Serialization.serialize(s::Serialization.AbstractSerializer, ::Live) = Serialization.serialize_type(s, Live)
Serialization.deserialize(::Serialization.AbstractSerializer, ::Type{Live}) = Live()
Base.deepcopy_internal(live::Live, ::IdDict) = live

"""Positions in `options.mutations`: our own kinds (0: absent), and the wire kind of every mutation (0: none)."""
struct Positions
    neural::Int
    mating::Int
    foresight::Int
    native::Vector{Tuple{Int,Int}}
    kinds::Vector{Int}
end

mutable struct ProposerState
    const id::Int64
    const output::Int
    const population::Int
    share::Float64
    outputs::Int
    const positions::Positions
    const counters::Counters
    levels::Levels
    iteration::Int
    cycle::Int
    ncycles::Int
    total_cycles::Int
    curmaxsize::Int
    newest_birth::Int
    followed::Bool  # Whether the population has held members that descend from proposals since its iteration began.
    errors::Int
    served::Bool
    pending_evaluations::Float64
    forks::Int
    const handed::Vector{Handed}
    seeds::Vector{Child}
    tallies::Dict{Int,Tally}
    descendants::Vector{Int}
    live::Live
end

function ProposerState(id, output, population, share, positions, kinds, levels; live=Live())
    return ProposerState(
        id, output, population, share, 1, positions, Counters(kinds), levels, -1, 0, 0, 0, 0, typemin(Int), false, 0, false,
        0.0, 0, Handed[], Child[], Dict(), Int[], live,
    )
end

"""Whether the state only counts: no random number may be drawn and nothing changed."""
records_only(state::ProposerState) = state.levels == 0

const MAX_ERRORS = 20

"""
    guarded(f, state, label, default)

Run one hook's body. An exception in a hook would end the search; here it is counted, remembered, and answered with
`default`, and after $MAX_ERRORS of them the state switches itself to recording only.
"""
@inline function guarded(f::F, state::ProposerState, label::String, default) where {F}
    try
        return f()
    catch error
        error isa InterruptException && rethrow()
        hook_failed!(state, label, error)
        return default
    end
end

@noinline function hook_failed!(state::ProposerState, label::String, error)
    state.errors += 1
    search = state.live.search
    isnothing(search) || note_failure!(search.tally, string(label, ": ", sprint(showerror, error)))
    if state.errors == MAX_ERRORS
        state.levels = Levels(0)
        isnothing(search) || disable!(search, "all", "the hook $label failed $MAX_ERRORS times.")
    end
    return nothing
end

"""The live search of a state in this process; in a worker process it is made on first use."""
function attach!(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options)
    live = state.live
    isnothing(live.search) || return live.search
    search = @lock REGISTRY_LOCK begin
        found = find_search(state.id)
        isnothing(found) ? register!(worker_search(state, plugin, dataset, options)) : found
    end
    foreach(reference -> mark!(search.lineage, reference), state.descendants)
    fresh = Live(search, state.population)
    live.stock, live.common, live.recording = fresh.stock, fresh.common, fresh.recording
    live.search = search
    return search
end

function worker_search(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options)
    table = OperatorTable(options.operators.ops)
    search = Search(state.id, plugin, table, size(dataset.X, 1), state.output; home=false, share=state.share)
    search.outputs = state.outputs
    search.tracing = !isempty(plugin.trace) && isnothing(unsupported(options, full_dataset(dataset)))
    search.open = open_frame(search, full_dataset(dataset), options)
    return search
end

full_dataset(dataset) = hasfield(typeof(dataset), :_dataset) ? getfield(dataset, :_dataset) : dataset

"""The state of our plugin among the states of all plugins, or `nothing`."""
@inline find_state(::Tuple{}, ::Tuple{}) = nothing
@inline find_state(plugins::Tuple, states::Tuple) = find_state(Base.tail(plugins), Base.tail(states))
@inline function find_state(plugins::Tuple{NeuralProposerPlugin,Vararg}, states::Tuple{ProposerState,Vararg})
    return first(plugins), first(states)
end
