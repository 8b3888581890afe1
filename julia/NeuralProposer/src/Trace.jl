# Recorded populations as columns, and the file of frames that they go to.
#
# Owns `Recording` (one per recorded population, filled by whoever evolves it) and the file (one per search and process).
# Does not own how events are found (Recording.jl).

"""Expressions as the wire has them, end to end."""
struct Trees
    lengths::Vector{Int32}
    codes::Vector{Int32}
    constants::Vector{Float64}
end
Trees() = Trees(Int32[], Int32[], Float64[])

"""Why a proposal was not accepted, in wire order, counted from 0."""
@enum Outcome::Int32 ACCEPTED = 0 NOT_ACCEPTED = 1 INVALID = 2

"""When a member was seen, in wire order: after an iteration's first cycle, after its last, or as a parent only."""
@enum Moment::Int32 FIRST_CYCLE = 0 LAST_CYCLE = 1 AS_PARENT = 2

struct MemberColumns
    moments::Vector{Int32}
    refs::Vector{Int64}
    parents::Vector{Int64}
    births::Vector{Int64}
    losses::Vector{Float64}
    costs::Vector{Float64}
    trees::Trees
end
MemberColumns() = MemberColumns(Int32[], Int64[], Int64[], Int64[], Float64[], Float64[], Trees())

"""One row per proposal; parents, losses (before, after) and costs (before, after) hold two numbers a row."""
struct EventColumns
    cycles::Vector{Int32}
    kinds::Vector{Int32}
    parents::Vector{Int64}
    refs::Vector{Int64}
    losses::Vector{Float64}
    costs::Vector{Float64}
    outcomes::Vector{Int32}
    neural::Vector{Int32}
    trees::Vector{Any}
end
EventColumns() = EventColumns(Int32[], Int32[], Int64[], Int64[], Float64[], Float64[], Int32[], Int32[], Any[])

"""A proposal of the present cycle whose child may be found in the population after it."""
struct Awaited
    row::Int
    root::Any
    parent::Int
    loss::Float64
end

"""What a recorded population did since its last frame."""
mutable struct Recording
    const population::Int
    iteration::Int
    const slots::Vector{Int}
    const known::Set{Int}
    const members::MemberColumns
    const events::EventColumns
    const death_cycles::Vector{Int32}
    const death_refs::Vector{Int64}
    const awaited::Vector{Awaited}
    parent::Any
    child::Any
end
function Recording(population::Int)
    return Recording(
        population, -1, Int[], Set{Int}(), MemberColumns(), EventColumns(), Int32[], Int64[], Awaited[], nothing, nothing
    )
end

const NOWHERE = -1

"""Whether a population is among the recorded share; the first one always is."""
function is_recorded(plugin::NeuralProposerPlugin, search_output::Int, population::Int)
    (isempty(plugin.trace) || population == 0) && return false
    population == 1 && return true
    return (hash((plugin.seed, search_output, population)) % 1_000_000) / 1_000_000 < plugin.trace_rate
end

function record!(trees::Trees, root, search::Search)
    before = length(trees.codes)
    encode!(trees.codes, trees.constants, root, search.table, search.features)
    push!(trees.lengths, length(trees.codes) - before)
    return nothing
end

function record!(columns::MemberColumns, member, moment::Moment, search::Search)
    push!(columns.moments, Int32(moment))
    push!(columns.refs, member.ref)
    push!(columns.parents, member.parent)
    push!(columns.births, member.birth)
    push!(columns.losses, member.loss)
    push!(columns.costs, member.cost)
    record!(columns.trees, get_tree(member.tree), search)
    return nothing
end

function write_recording!(recording::Recording, search::Search)
    members, events, trees = recording.members, recording.events, Trees()
    foreach(root -> isnothing(root) ? push!(trees.lengths, 0) : record!(trees, root, search), events.trees)
    message = frame(
        TRACE;
        search=search.id,
        output=search.output,
        population=recording.population,
        iteration=recording.iteration,
        member_moments=members.moments,
        member_refs=members.refs,
        member_parents=members.parents,
        member_births=members.births,
        member_losses=members.losses,
        member_costs=members.costs,
        member_lengths=members.trees.lengths,
        member_codes=members.trees.codes,
        member_constants=members.trees.constants,
        event_cycles=events.cycles,
        event_kinds=events.kinds,
        event_parents=events.parents,
        event_refs=events.refs,
        event_losses=events.losses,
        event_costs=events.costs,
        event_outcomes=events.outcomes,
        event_neural=events.neural,
        event_lengths=trees.lengths,
        event_codes=trees.codes,
        event_constants=trees.constants,
        death_cycles=recording.death_cycles,
        death_refs=recording.death_refs,
    )
    write_trace!(search, message)
    for columns in (members, members.trees, events), name in fieldnames(typeof(columns))
        column = getfield(columns, name)
        column isa Vector && empty!(column)
    end
    foreach(empty!, (recording.death_cycles, recording.death_refs, recording.known))
    union!(recording.known, recording.slots)
    return nothing
end

"""Append a frame to this process's file, which begins with the search itself; on failure recording ends, and says so."""
function write_trace!(search::Search, message::Frame)
    @lock search.lock begin
        try
            if isnothing(search.trace)
                name = string(string(search.id; base=16), "-", getpid(), ".frames")
                search.trace = open(joinpath(search.plugin.trace, name), "a")
                write(search.trace, pack(search.open))
            end
            write(search.trace, pack(message))
            flush(search.trace)
        catch error
            error isa InterruptException && rethrow()
            search.tracing = false
            disable!(search, "trace", string("the trace could not be written: ", sprint(showerror, error)))
        end
    end
    return nothing
end

"""Write the hall of fame, as a population of number -1, and close the file; without a recording nothing is written."""
function close_trace!(search::Search, hall)
    search.tracing || return nothing
    recording = Recording(NOWHERE)
    for (member, exists) in zip(hall.members, hall.exists)
        exists && record!(recording.members, member, LAST_CYCLE, search)
    end
    write_recording!(recording, search)
    @lock search.lock begin
        isnothing(search.trace) || close(search.trace)
        search.trace = nothing
    end
    return nothing
end
