# What recorded populations did: their members, proposals, crossovers and deaths.
#
# Owns finding them. Draws no random numbers and changes nothing. The engine calls no hook inside a crossover, a second
# crossover kind would draw a random number, and no hook tells which member a child became: both are read off the
# population after each cycle.

"""Remember whom the engine is about to vary."""
@inline function note_parent!(state::ProposerState, member)
    recording = state.live.recording
    isnothing(recording) || ((recording.parent, recording.child) = (member, nothing))
    return nothing
end

"""Remember what the engine is about to accept or reject."""
@inline function note_child!(state::ProposerState, tree)
    recording = state.live.recording
    isnothing(recording) || (recording.child = get_tree(tree))
    return nothing
end

"""A crossover in a trace, whose kinds count from 0."""
const RECORDED_CROSSOVER = CROSSOVER_KIND - 1

wire_kind(mutation::NativeMutation) = wire_kind(builtin(mutation))
wire_kind(::NeuralMutation) = findfirst(==(:neural), KINDS)::Int - 1
wire_kind(::NeuralMating) = RECORDED_CROSSOVER
function wire_kind(mutation::AbstractMutation)
    return something(findfirst(==(get(WIRE_KINDS, typeof(mutation), :none)), KINDS), 0) - 1
end

"""Record one mutation step, accepted or not; only if failures are kept does one that was not enter the population."""
function record_event!(recording::Recording, state::ProposerState, mutation, event, keeps_failures::Bool)
    parent = recording.parent
    isnothing(parent) && return nothing
    if !(parent.ref in recording.known)
        push!(recording.known, parent.ref)
        record!(recording.members, parent, AS_PARENT, state.live.search)
    end
    finite = !isnothing(event.after_loss)
    outcome = event.accepted ? ACCEPTED : finite ? NOT_ACCEPTED : INVALID
    neural = mutation isa NativeMutation || mutation isa NeuralMating || (mutation isa NeuralMutation && state.served)
    after = finite ? (Float64(event.after_loss), Float64(event.after_cost)) : (NaN, NaN)
    # The engine writes the parent over a rejected child.
    child = event.accepted || isnothing(recording.child) ? recording.child : copy(recording.child)
    row = push_event!(
        recording.events, state.cycle, wire_kind(mutation), (parent.ref, NOWHERE),
        (Float64(event.before_loss), after[1]), (Float64(event.before_cost), after[2]), outcome, neural, child,
    )
    loss = event.accepted ? after[1] : Float64(event.before_loss)
    (event.accepted || keeps_failures) && push!(recording.awaited, Awaited(row, recording.child, parent.ref, loss))
    recording.parent = recording.child = nothing
    return nothing
end

function push_event!(events::EventColumns, cycle, kind, parents, losses, costs, outcome, neural, root)
    push!(events.cycles, cycle)
    push!(events.kinds, kind)
    append!(events.parents, parents)
    push!(events.refs, NOWHERE)
    append!(events.losses, losses)
    append!(events.costs, costs)
    push!(events.outcomes, Int32(outcome))
    push!(events.neural, neural)
    push!(events.trees, root)
    return length(events.cycles)
end

"""After a cycle: find the children, the deaths and the crossovers; write everything after an iteration's last cycle."""
function record_cycle!(recording::Recording, state::ProposerState, search::Search, pop)
    search.tracing || return nothing
    if state.cycle <= 1 || length(recording.slots) != pop.n
        begin_iteration!(recording, state, search, pop)
    else
        follow_slots!(recording, state, pop)
    end
    empty!(recording.awaited)
    if state.cycle == state.ncycles
        foreach(member -> record!(recording.members, member, LAST_CYCLE, search), pop.members)
        write_recording!(recording, search)
    end
    return nothing
end

"""All members have new references, whose parents are the old ones."""
function begin_iteration!(recording::Recording, state::ProposerState, search::Search, pop)
    recording.iteration = state.iteration += 1
    present = Set{Int}(member.ref for member in pop.members)
    union!(recording.known, present)
    by_birth = sort(pop.members; by=member -> member.birth)
    newborn = [m for m in by_birth if !settle!(recording, m) && m.parent in present]
    record_crossovers!(recording, state, newborn)
    foreach(member -> record!(recording.members, member, FIRST_CYCLE, search), pop.members)
    resize!(recording.slots, pop.n)
    recording.slots .= getproperty.(pop.members, :ref)
    return nothing
end

function follow_slots!(recording::Recording, state::ProposerState, pop)
    changed = findall(slot -> pop.members[slot].ref != recording.slots[slot], eachindex(recording.slots))
    isempty(changed) && return nothing
    newborn, copies = similar(pop.members, 0), similar(pop.members, 0)
    for member in sort(pop.members[changed]; by=member -> member.birth)
        member.ref in recording.slots ? push!(copies, member) : settle!(recording, member) || push!(newborn, member)
    end
    left = recording.slots[changed]
    recording.slots[changed] .= getproperty.(view(pop.members, changed), :ref)
    for reference in unique(left)  # Migration may have put one member into two slots.
        reference in recording.slots && continue
        push!(recording.death_cycles, state.cycle)
        push!(recording.death_refs, reference)
    end
    union!(recording.known, view(recording.slots, changed))
    record_crossovers!(recording, state, newborn)
    record_failed_crossovers!(recording, state, copies)
    return nothing
end

"""
Give the proposal that became this member its reference; `false` if there is none. Where the engine showed no tree (it
does not for kinds that return at once), parent and loss must do: equal copies of one parent may be confused.
"""
function settle!(recording::Recording, member)
    isempty(recording.awaited) && return false
    root = get_tree(member.tree)
    at = findfirst(one -> one.root === root, recording.awaited)
    if isnothing(at)
        at = findfirst(recording.awaited) do one
            return isnothing(one.root) && one.parent == member.parent && one.loss == Float64(member.loss)
        end
    end
    isnothing(at) && return false
    row = recording.awaited[at].row
    recording.events.refs[row] = member.ref
    recording.events.outcomes[row] == Int32(ACCEPTED) && (recording.events.trees[row] = root)
    deleteat!(recording.awaited, at)
    return true
end

"""
Parents inserted again: a crossover failed its constraints, and the engine was told to keep failures. Otherwise such a
crossover leaves no trace.
"""
function record_failed_crossovers!(recording::Recording, state::ProposerState, copies)
    for pair in Iterators.partition(copies, 2)
        push_event!(
            recording.events, state.cycle, RECORDED_CROSSOVER, (first(pair).ref, last(pair).ref),
            (Float64(first(pair).loss), NaN), (Float64(first(pair).cost), NaN), INVALID, false, nothing,
        )
    end
    return nothing
end

"""Members, by birth, that no mutation made come from crossovers: two at a time, each naming one of the two parents."""
function record_crossovers!(recording::Recording, state::ProposerState, newborn)
    for (i, member) in enumerate(newborn)
        twin = isodd(i) ? min(i + 1, length(newborn)) : i - 1
        other = twin == i ? NOWHERE : newborn[twin].parent
        row = push_event!(
            recording.events, state.cycle, RECORDED_CROSSOVER, (member.parent, other), (NaN, Float64(member.loss)),
            (NaN, Float64(member.cost)), ACCEPTED, false, get_tree(member.tree),
        )
        recording.events.refs[row] = member.ref
    end
    return nothing
end
