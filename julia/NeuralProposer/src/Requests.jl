# What a search asks the server, and when.
#
# Owns the OPEN and REQUEST messages, the population snapshot, the stock's low-water mark and the time budget.

const ROWS_SENT = 10_000
"""Evolution cycles that one proposed child costs, by measurement; the synchronous mode budgets by it."""
const CYCLES_PER_CHILD = 25
"""Cycles of one search after which predicted weights are asked for anew."""
const GUIDANCE_CYCLES = 4_000

"""Describe the search: the data (evenly thinned beyond $ROWS_SENT rows), the operators, the limits."""
function open_frame(search::Search, dataset, options)
    rows = size(dataset.X, 2)
    kept = rows <= ROWS_SENT ? (1:rows) : round.(Int, range(1, rows; length=ROWS_SENT))
    X, y = exact_data(search, dataset, kept)
    return frame(
        OPEN;
        search=search.id,
        X,
        y,
        operator_names=join(search.table.names, '\n'),
        operator_arities=search.table.arities,
        limits=Int32[options.maxsize, options.maxdepth],
        nested=nested_triples(options, search.table),
        arguments=argument_triples(options, search.table),
        complexities=complexities_of(options, search.table, search.features),
    )
end

"""Ask for children or guidance about `members`; returns the job, or `nothing` if the queue refused it."""
function ask!(
    search::Search, purpose::Symbol, state::ProposerState, members, options;
    count::Int, levels::Levels, population::Int=state.population,
)
    number = @atomic search.requests += 1
    lengths, complexities = Int32[], Int32[]
    codes, constants, losses, references = Int32[], Float64[], Float64[], Int[]
    for member in members
        before, constants_before = length(codes), length(constants)
        encode!(codes, constants, get_tree(member.tree), search.table, search.features)
        if !all(isfinite, view(constants, (constants_before + 1):length(constants)))
            resize!(codes, before)
            resize!(constants, constants_before)
            continue
        end
        push!(lengths, length(codes) - before)
        push!(losses, Float64(member.loss))
        push!(complexities, compute_complexity(member, options))
        push!(references, member.ref)
    end
    message = frame(
        REQUEST;
        search=search.id,
        seed=request_seed(search, number),
        count,
        levels,
        temperature=search.plugin.temperature,
        max_size=state.curmaxsize > 0 ? min(state.curmaxsize, options.maxsize) : options.maxsize,
        progress=progress(search, state),
        lengths,
        codes,
        constants,
        losses,
        complexities,
        seconds=seconds_for(purpose, search, options),
    )
    job = Job(purpose, search, population, references, message)
    @atomic search.in_flight = true
    if submit!(client_of(search.plugin), job)
        is_beside(search) && yield()  # To the client task, which sends it.
        return job
    end
    @atomic search.in_flight = false
    return skip!(search.tally, "queue full")
end

"""
Seconds that an answer may take: what is left of the search, and before the search what it waits for; NaN where there is
no limit, and where answers must not depend on a clock.
"""
function seconds_for(purpose::Symbol, search::Search, options)
    search.plugin.synchronous && return NaN
    seconds = seconds_left(search, options)
    purpose === :seed && (seconds = min(seconds, search.plugin.seed_timeout))
    return isfinite(seconds) ? seconds : NaN
end

"""Made from counters alone, so that a deterministic search repeats its requests."""
function request_seed(search::Search, number::Int)
    mixed = (search.plugin.seed % UInt64) * 0x9e3779b97f4a7c15
    mixed = mixed ⊻ (UInt64(search.output) << 40) ⊻ UInt64(number)
    mixed = (mixed ⊻ (mixed >> 30)) * 0xbf58476d1ce4e5b9
    return Int64((mixed ⊻ (mixed >> 27)) >> 1)
end

"""Share of the search that is done, by cycles or by a limit of time, whichever is further."""
function progress(search::Search, state::ProposerState, options)
    limit = options.timeout_in_seconds
    timed = isnothing(limit) ? 0.0 : (time() - search.started) / limit
    return clamp(max(progress(search, state), timed), 0.0, 1.0)
end

function progress(search::Search, state::ProposerState)
    state.total_cycles <= 0 && return 0.0
    return clamp((@atomic search.cycles) / (search.share * state.total_cycles), 0.0, 1.0)
end

"""
At the end of a cycle: ask if this population's stock is low or the guidance old, the budget allows it, the server is
well, and no other request of the search is under way.
"""
function consider_request!(state::ProposerState, plugin::NeuralProposerPlugin, pop, options, search::Search)
    (@atomic search.in_flight) && return nothing
    count, levels = wanted(state, search)
    levels == 0 && return nothing
    isempty(plugin.address) && return nothing
    is_open(client_of(plugin).breaker) && return skip!(search.tally, "circuit breaker open")
    affordable(search, plugin, count) || return skip!(search.tally, "time budget used up")
    job = ask!(search, :cycle, state, pop.members, options; count, levels)
    isnothing(job) && return nothing
    plugin.synchronous && wait_for(job, min(2 * plugin.request_timeout, seconds_left(search, options)))
    return nothing
end

"""How many children, and which levels, a population could use now."""
function wanted(state::ProposerState, search::Search)
    levels = state.levels
    serving = has(levels, CHILD) || has(levels, CROSSOVER)
    low = serving && length(state.live.stock) <= search.plugin.batch_size ÷ 4
    guidance = levels & (KIND | PRIOR | CROSSOVER)
    asked = @atomic search.guidance_cycle
    old = guidance != 0 && (asked < 0 || (@atomic search.cycles) - asked >= GUIDANCE_CYCLES)
    mask = Levels(0)
    low && (mask |= levels & (CHILD | CROSSOVER | PARENTS))
    old && (mask |= guidance)
    has(levels, PARENTS) && !serving && (mask |= PARENTS)
    return low ? search.plugin.batch_size : 0, mask
end

function affordable(search::Search, plugin::NeuralProposerPlugin, count::Int)
    asked = @atomic search.requests
    if plugin.synchronous
        cost = CYCLES_PER_CHILD * max(count, 8) / (is_auto(plugin) ? IDLE : plugin.max_overhead)
        return (@atomic search.cycles) >= asked * cost
    end
    tally = search.tally
    spent, calls = @lock TALLY_LOCK (tally.model_seconds, tally.calls)
    expected = calls == 0 ? 0.0 : spent / calls
    return spent + expected <= budget(search)
end
