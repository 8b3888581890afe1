# Counters of what became of the proposer's work.
#
# Owns `Counters` (one per population, written by whoever evolves it) and `Tally` (one per process and search, written by
# the client task and the hooks under a lock). Both are plain data, so that worker processes can send them home.

"""What happened to one population's mutations."""
mutable struct Counters
    const tried::Vector{Int}
    const accepted::Vector{Int}
    const improved::Vector{Int}
    cycles::Int
    served::Int
    fallbacks::Int
    starved::Float64
    neural_accepted::Int
    neural_improved::Int
    crossovers::Int
    seeded::Int
    refined::Int
end
Counters(kinds::Int) = Counters(spaced(kinds), spaced(kinds), spaced(kinds), 0, 0, 0, 0.0, 0, 0, 0, 0, 0)

"""Zeros with room behind them, so that populations on different threads never write to one cache line."""
spaced(count::Int) = resize!(zeros(Int, count + CACHE_ROOM), count)
const CACHE_ROOM = 16

function add!(total::Counters, part::Counters)
    for name in fieldnames(Counters)
        mine, other = getfield(total, name), getfield(part, name)
        mine isa Vector ? (mine .+= other) : setfield!(total, name, mine + other)
    end
    return total
end

const FAILURES_KEPT = 16

"""What happened between this process and the server for one search."""
mutable struct Tally
    calls::Int
    answers::Int
    children::Int
    injected::Int
    model_seconds::Float64
    const invalid::Dict{String,Int}
    const skipped::Dict{String,Int}
    const failures::Vector{String}
    const disabled::Dict{String,String}
end
Tally() = Tally(0, 0, 0, 0, 0.0, Dict(), Dict(), String[], Dict())

"""For all tallies: a lock of their own could not travel between processes."""
const TALLY_LOCK = ReentrantLock()

"""A copy that may travel."""
function snapshot(tally::Tally)
    return @lock TALLY_LOCK Tally(
        tally.calls, tally.answers, tally.children, tally.injected, tally.model_seconds, copy(tally.invalid),
        copy(tally.skipped), copy(tally.failures), copy(tally.disabled),
    )
end

function add!(total::Tally, part::Tally)
    for name in (:calls, :answers, :children, :injected, :model_seconds)
        setfield!(total, name, getfield(total, name) + getfield(part, name))
    end
    mergewith!(+, total.invalid, part.invalid)
    mergewith!(+, total.skipped, part.skipped)
    append!(total.failures, part.failures)
    merge!(total.disabled, part.disabled)
    return total
end

"""Count rejected children under ``stage: reason``."""
function reject!(tally::Tally, stage::String, reason, count::Int=1)
    key = string(stage, ": ", reason)
    @lock TALLY_LOCK tally.invalid[key] = get(tally.invalid, key, 0) + count
    return nothing
end

"""Count a request that was not made; the answer of the caller is `nothing`."""
function skip!(tally::Tally, reason::String)
    @lock TALLY_LOCK tally.skipped[reason] = get(tally.skipped, reason, 0) + 1
    return nothing
end

"""Remember a failure; only the latest ones are kept."""
function note_failure!(tally::Tally, text::String)
    @lock TALLY_LOCK begin
        length(tally.failures) >= FAILURES_KEPT && popfirst!(tally.failures)
        push!(tally.failures, first(text, 500))
    end
    return nothing
end

"""Say why a level, or everything, is off; the first reason stays."""
function disable!(tally::Tally, what::String, reason::String)
    @lock TALLY_LOCK get!(tally.disabled, what, reason)
    return nothing
end
