# The bodies of the engine's hooks that are not elsewhere: life of a state, cycles, outcomes, the end.
#
# Owns what happens in each hook; the methods themselves, guarded, are in SRInterface.jl.

"""Why this search cannot be helped, or `nothing`."""
function unsupported(options, dataset)
    options.node_type <: Node || return "Only plain expression trees can be proposed; got $(options.node_type)."
    options.expression_type <: Expression ||
        return "Only plain expressions can be proposed; got $(options.expression_type)."
    eltype(dataset.X) <: AbstractFloat || return "Data must be real floating-point; got $(eltype(dataset.X))."
    dataset.y isa AbstractVector{<:AbstractFloat} || return "A target vector of floats is needed."
    all(isfinite, dataset.X) && all(isfinite, dataset.y) ||
        return "All data must be finite as $(eltype(dataset.X)); use wider numbers (precision=64), or scale them."
    isempty(options.mutations) && return "The search has no mutations."
    return nothing
end

"""The head's state for one output; never throws: what cannot be helped is recorded only."""
function first_state(plugin::NeuralProposerPlugin, options, dataset)
    reason = unsupported(options, dataset)
    table = OperatorTable(options.operators.ops)
    id, output = fresh_search_id(), Int(dataset.index)
    search = Search(id, plugin, table, size(dataset.X, 1), output; home=true)
    search.mutations = [String(nameof(typeof(kind))) for (kind, _) in options.mutations]
    register!(search)
    positions = Positions(options)
    levels = isnothing(reason) ? plugin.levels : Levels(0)
    live = Live(search, 0)
    state = ProposerState(id, output, 0, 1.0, positions, length(options.mutations), levels; live)
    search.parts[0] = state.counters
    search.tracing = isnothing(reason) && !isempty(plugin.trace)
    if isnothing(reason)
        levels == 0 && !search.tracing || (search.open = open_frame(search, dataset, options))
    elseif plugin.levels != 0 || !isempty(plugin.trace)
        disable!(search, "all", reason)
    end
    drop_absent_levels!(state, search)
    if state.levels != 0 && hasproperty(dataset, :weights) && !isnothing(dataset.weights)
        disable!(search.tally, "weights", "the engine judges by them; the proposer sees all rows alike.")
    end
    return state
end

"""A state that does nothing, for when even the first one cannot be made."""
function inert_state(options)
    positions = Positions(0, 0, 0, Tuple{Int,Int}[], Int[])
    return ProposerState(0, 1, 0, 1.0, positions, length(options.mutations), Levels(0))
end

"""`default_mutations=` makes the engine leave out the kinds of plugins: their levels are then off, and that is said."""
function drop_absent_levels!(state::ProposerState, search::Search)
    (; neural, foresight, native) = state.positions
    for (level, absent) in ((CHILD, neural == 0), (FORESIGHT, foresight == 0), (PRIOR, isempty(native)))
        if has(state.levels, level) && absent
            state.levels &= ~level
            disable!(search, only(level_names(level)), "The options leave out the mutations of plugins.")
        end
    end
    return nothing
end

"""One population's state, made on the head."""
function forked_state(head::ProposerState)
    head.forks += 1
    search = head.live.search
    live = isnothing(search) ? Live() : Live(search, head.forks)
    state = ProposerState(
        head.id, head.output, head.forks, head.share, head.positions, length(head.counters.tried), head.levels; live
    )
    state.total_cycles, state.outputs = head.total_cycles, head.outputs
    state.seeds = head.seeds
    isnothing(search) || @lock search.lock search.parts[state.population] = state.counters
    return state
end

"""On the head, when a population's state is back: keep its counters, exchange lineages between processes."""
function exchange_state!(worker::ProposerState, head::ProposerState)
    search = head.live.search
    isnothing(search) && return worker
    gather_part!(search, worker)
    if !isempty(worker.tallies) && !isempty(search.lineage)
        worker.descendants = @lock search.lineage.lock collect(Iterators.take(search.lineage.recent, DESCENDANTS_SENT))
    end
    return worker
end

const DESCENDANTS_SENT = 1024

function gather_part!(search::Search, worker::ProposerState)
    @lock search.lock begin
        search.parts[worker.population] = worker.counters
        merge!(search.tallies, worker.tallies)
    end
    isempty(worker.tallies) || foreach(reference -> mark!(search.lineage, reference), worker.descendants)
    return nothing
end

function cycle_started!(state::ProposerState, cycle::Int, ncycles::Int)
    state.cycle, state.ncycles = cycle, ncycles
    return nothing
end

function cycle_ended!(state::ProposerState, plugin::NeuralProposerPlugin, pop, dataset, hall, options)
    state.counters.cycles += 1
    records_only(state) && isempty(plugin.trace) && return nothing
    search = attach!(state, plugin, dataset, options)
    whole = state.ncycles == options.ncycles_per_iteration  # Worker processes try out a short one first.
    isnothing(state.live.recording) || !whole || record_cycle!(state.live.recording, state, search, pop)
    records_only(state) && return nothing
    @atomic search.cycles += 1
    first_cycle = state.cycle <= 1
    first_cycle && mark_seeds!(state, search, pop)
    follow_population!(state, search.lineage, pop, first_cycle)
    if state.counters.cycles % plugin.interval == 0
        (@atomic :monotonic search.in_flight) && yield()  # To the client task, where it has no thread of its own.
        consider_request!(state, plugin, pop, options, search)
        isnothing(search.head) || judge!(search.head, search, full_dataset(dataset), options, state.curmaxsize)
        ask_on!(state, plugin, (), pop, options, search)
    end
    state.cycle == state.ncycles && !search.home && pack_results!(state, search, pop, hall)
    return nothing
end

"""
Follow what descends from proposals, after each cycle. Within an iteration a population's members descend from its own
only: where none of these does at first and none was handed over since, there is nothing to follow.
"""
function follow_population!(state::ProposerState, lineage::Lineage, pop, first_cycle::Bool)
    handed = !isempty(state.handed)
    first_cycle || state.followed || handed || return nothing
    state.newest_birth = follow!(lineage, state.handed, pop.members, state.newest_birth; everyone=first_cycle)
    first_cycle && (state.followed = any(member -> descends(lineage, member), pop.members))
    handed && (state.followed = true)
    empty!(state.handed)
    return nothing
end

"""Before the state goes home to another process: what the head cannot see otherwise."""
function pack_results!(state::ProposerState, search::Search, pop, hall)
    state.tallies = Dict(process_key() => snapshot(search.tally))
    members = Iterators.flatten((pop.members, hall.members[hall.exists]))
    state.descendants = [member.ref for member in members if descends(search.lineage, member)]
    return nothing
end

process_key() = Int(hash((gethostname(), getpid())) >> 2)

function mutation_ended!(state::ProposerState, mutation::AbstractMutation, event, options)
    counters, at = state.counters, event.mutation_idx
    improved = event.accepted && !isnothing(event.after_loss) && event.after_loss < event.before_loss
    counters.tried[at] += 1
    counters.accepted[at] += event.accepted
    counters.improved[at] += improved
    recording = state.live.recording
    isnothing(recording) || record_event!(recording, state, mutation, event, !options.skip_mutation_failures)
    mutation isa NeuralMutation && state.served && credit_child!(state, event, improved)
    return nothing
end

function credit_child!(state::ProposerState, event, improved::Bool)
    state.served = false
    state.counters.neural_accepted += event.accepted
    state.counters.neural_improved += improved
    isempty(state.handed) && return nothing
    handed = pop!(state.handed)
    event.accepted && push!(state.handed, Handed(handed.root, handed.parent, Float64(event.after_loss)))
    return nothing
end

function generation_ended!(state::ProposerState, plugin, search_state, dataset, options, pop)
    search = state.live.search
    (records_only(state) || isnothing(search)) && return nothing
    state.curmaxsize = search_state.cur_maxsizes[state.output]
    flag_hall!(search, search_state.halls_of_fame[state.output])
    help!(state, plugin, search_state, dataset, options, pop)
    if state.pending_evaluations > 0
        search_state.num_evals[state.output][1] += state.pending_evaluations
        state.pending_evaluations = 0.0
    end
    return nothing
end

"""
Note which members of the hall of fame have a neural ancestor, while their references are still known. A seed may have
left its population before it was marked there.
"""
function flag_hall!(search::Search, hall)
    for (size, member) in enumerate(hall.members)
        hall.exists[size] || continue
        reference, neural = get(search.hall_of_fame, size, (0, false))
        if reference != member.ref || !neural
            neural = descends(search.lineage, member) || @lock search.lock written(member, search) in search.seeds
            search.hall_of_fame[size] = (member.ref, neural)
        end
    end
    return nothing
end

function search_ended!(state::ProposerState, search_state, dataset, options)
    search = state.live.search
    isnothing(search) && return nothing
    for output in search_state.worker_output[state.output]
        gather_output!(search, output, options)
    end
    isempty(search.front) || let_in!(search, search_state.halls_of_fame[state.output], dataset, options; all_of_it=true)
    close_trace!(search, search_state.halls_of_fame[state.output])
    flag_hall!(search, search_state.halls_of_fame[state.output])
    filter!(entry -> search_state.halls_of_fame[state.output].exists[first(entry)], search.hall_of_fame)
    search.finished = time()
    if records_only(state) && isnothing(search.open)
        return nothing
    end
    isempty(search.plugin.address) || say_goodbye(search, options)
    foreach(empty!, values(search.stocks))
    return nothing
end

const GOODBYE_SECONDS = 1.0
"""Waited for even where no time is left: enough for a client that has nothing else to do."""
const LEAST_GOODBYE_SECONDS = 0.05

"""
Close the search at the server; wait a moment, since nothing may yield to the client task after this. A client that still
waits for an answer closes the search once it has it.
"""
function say_goodbye(search::Search, options)
    job = Job(:close, search)
    seconds = clamp(seconds_left(search, options), LEAST_GOODBYE_SECONDS, GOODBYE_SECONDS)
    submit!(client_of(search.plugin), job) && wait_for(job, seconds)
    return nothing
end

"""A worker process's last result never comes back through the other hooks."""
function gather_output!(search::Search, output, options)
    output isa Task && istaskdone(output) && !istaskfailed(output) || return nothing
    found = find_state(options.plugins, last(fetch(output)))
    isnothing(found) || gather_part!(search, last(found))
    return nothing
end
