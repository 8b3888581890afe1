# What a search's proposer did, as plain values for Python.
#
# Owns merging counters of populations, processes and outputs.

"""
    report(key) -> Dict{String,Any}

What the proposer did in all searches (one per output) of a session, or of the latest session with an address. Numbers,
strings, and vectors of them; `"outputs"` holds the same for each output.

In multiprocessing a worker's figures arrive with its populations: what a worker did after its last returned result is
not counted.
"""
function report(key::AbstractString)
    found = searches_of(key)
    parts = [report_of(search) for search in found]
    merged = merged_report(found)
    merged["outputs"] = parts
    return merged
end

"""
    report(search::Integer)

The report of one search by its id.
"""
function report(id::Integer)
    search = find_search(Int64(id))
    isnothing(search) && throw(KeyError(id))
    return report_of(search)
end

function searches_of(key::AbstractString)
    all_searches = @lock REGISTRY_LOCK [SEARCHES[id] for id in SEARCH_ORDER if SEARCHES[id].home]
    found = filter(search -> search.plugin.session == key, all_searches)
    isempty(found) || return found
    by_address = filter(search -> search.plugin.address == key, all_searches)
    isempty(by_address) && return by_address
    latest = last(by_address).plugin.session
    return filter(search -> search.plugin.session == latest, by_address)
end

function report_of(search::Search)
    result = merged_report([search])
    result["search"] = search.id
    result["output"] = search.output
    return result
end

function merged_report(found::Vector{Search})
    counters, tally = Counters(0), Tally()
    kinds = Dict{String,Vector{Int}}()
    for search in found
        part = counters_of(search)
        count_kinds!(kinds, search, part)
        foreach(empty!, (part.tried, part.accepted, part.improved))
        add!(counters, part)
        for other in tallies_of(search)
            add!(tally, other)
        end
    end
    seconds = sum(seconds_of, found; init=0.0) / max(length(found), 1)
    flags = [sort!(collect(search.hall_of_fame)) for search in found]
    return Dict{String,Any}(
        "levels" => isempty(found) ? String[] : level_names(first(found).plugin.levels),
        "session" => isempty(found) ? "" : first(found).plugin.session,
        "calls" => tally.calls,
        "answers" => tally.answers,
        "children" => tally.children,
        "served" => counters.served,
        "fallbacks" => counters.fallbacks + round(Int, counters.starved),
        "accepted" => counters.neural_accepted,
        "improved" => counters.neural_improved,
        "crossovers" => counters.crossovers,
        "seeded" => counters.seeded,
        "refined" => counters.refined,
        "injected" => tally.injected,
        "cycles" => counters.cycles,
        "spare_core" => !isempty(found) && all(search -> search.spare, found),
        "invalid" => tally.invalid,
        "skipped" => tally.skipped,
        "neural_hall_of_fame" => sum(list -> count(entry -> last(last(entry)), list), flags; init=0),
        "hall_of_fame" => sum(length, flags; init=0),
        "hall_of_fame_complexities" => [first.(list) for list in flags],
        "hall_of_fame_neural" => [Bool[last(last(entry)) for entry in list] for list in flags],
        "model_seconds" => tally.model_seconds,
        "search_seconds" => seconds,
        "time_share" => seconds > 0 ? tally.model_seconds / seconds : 0.0,
        "failures" => tally.failures,
        "disabled" => tally.disabled,
        "kinds" => kinds,
    )
end

function seconds_of(search::Search)
    return (isnan(search.finished) ? time() : search.finished) - search.started
end

function counters_of(search::Search)
    total = Counters(length(search.mutations))
    parts = @lock search.lock collect(values(search.parts))
    foreach(part -> add!(total, part), parts)
    return total
end

function tallies_of(search::Search)
    return vcat(snapshot(search.tally), @lock search.lock collect(values(search.tallies)))
end

"""Tried, accepted, improved of each mutation kind."""
function count_kinds!(kinds::Dict{String,Vector{Int}}, search::Search, part::Counters)
    for (i, name) in enumerate(search.mutations)
        counts = get!(() -> zeros(Int, 3), kinds, name)
        counts .+= (part.tried[i], part.accepted[i], part.improved[i])
    end
    return nothing
end

"""What the installed engine lacks, by level, as text; empty when everything is there."""
missing_parts() = Dict{String,Vector{String}}(String(level) => names for (level, names) in MISSING)
