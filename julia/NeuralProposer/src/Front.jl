# The front of what was proposed, kept apart from the engine's populations; and the requests that feed it (refresh level).
#
# Owns judging proposals by the engine's own evaluation, when they enter the hall of fame, and when more are asked for.
# It runs on the head, when a population has come back, and in its cycles where they run in the head's own task.
#
# Members of the hall of fame migrate into every population, and a proposal that is close but wrong beats everything that
# evolution would have needed on its way. So what is proposed stays apart. An answer enters at once, and so does what
# leaves only noise of the data; all the rest enters
# late, when evolution alone has had its time, and at the end. What evolution finds is what it would find without help.

"""
Share of the search, and seconds, after which all that was proposed enters the hall of fame, and with it the populations:
whoever watches a search of hours is to see it.
"""
const LATE, LATE_SECONDS = 0.75, 60.0
"""Seconds for judging proposals at a time."""
const JUDGING_SECONDS = 0.02
"""Members of the returned population that are shown, beside the fronts."""
const SHOWN_OF_POPULATION = 10
"""Least part by which a lower loss counts as a gain."""
const PROGRESS = 1e-2

"""Judge what has arrived, let into the hall of fame what may enter it, and ask for more."""
function help!(state::ProposerState, plugin::NeuralProposerPlugin, search_state, dataset, options, pop)
    search = state.live.search
    has(state.levels, SEED | REFRESH) || return nothing
    hall = search_state.halls_of_fame[state.output]
    note_best!(search, hall)
    judge!(state, search, dataset, options, search_state.cur_maxsizes[state.output])
    let_in!(search, hall, dataset, options; all_of_it=is_late(search, state, options))
    search.best_loss <= exact_loss(search, dataset, options) && (search.answered = true)
    ask_on!(state, plugin, hall.members[hall.exists], pop, options, search)
    return nothing
end

"""Offer to the front what has arrived for the head, a moment long."""
function judge!(head::ProposerState, search::Search, dataset, options, limit::Int)
    started = time()
    while time() - started < JUDGING_SECONDS
        child = take_child!(head.live.stock)
        isnothing(child) && break
        offer!(head, search, child, dataset, options, limit)
    end
    return nothing
end

function is_late(search::Search, state::ProposerState, options)
    waited = !search.plugin.synchronous && time() - search.started >= LATE_SECONDS
    return waited || progress(search, state, options) >= LATE
end

"""
    offer!(state, search, child, dataset, options, limit) -> member

Evaluate a child, and keep it if no simpler one of the front is as good; its constants are then optimised by the engine.
`nothing` if it is not kept.
"""
function offer!(state::ProposerState, search::Search, child::Child, dataset, options, limit::Int)
    member = member_of(child, search, dataset, options, limit)
    state.pending_evaluations += 1
    isnothing(member) && return nothing
    state.counters.served += 1
    is_new(search.front, member, options) || return nothing
    exact, unrounded = exact_loss(search, dataset, options), child.leaves === NOTHING
    # What is left of an answer in the engine's numbers is their rounding, and constants would be fitted to that.
    if !unrounded && has_constants(get_tree(member.tree)) && Float64(member.loss) > exact
        member, evaluations = optimize_constants(dataset, member, options)
        state.pending_evaluations += evaluations
        isfinite(member.cost) || return nothing
    end
    size = compute_complexity(member, options)
    @lock search.lock search.front[size] = member
    mark!(search.lineage, member.ref)
    child.leaves === SOMETHING || note_explained!(search, member)
    (unrounded || Float64(member.loss) <= exact) && (search.answered = true)
    (stops(member, size, options) || unrounded && stops_unrounded(search, member, size, dataset, options)) && end_early!(search)
    state.counters.neural_accepted += 1
    note_gain!(search, Float64(member.loss)) && (state.counters.neural_improved += 1)
    return member
end

"""Note a member that leaves only noise, or nothing."""
function note_explained!(search::Search, member)
    push!(search.explaining, member.ref)
    @atomic search.explained = true
    return nothing
end

"""Whether a member is an answer: exact, in the engine's numbers or as the data were given, or it leaves only noise."""
is_answer(search::Search, member, exact::Float64) = Float64(member.loss) <= exact || member.ref in search.explaining

"""Whether a member is better than all of a front that are at most as complex."""
function is_new(front::Dict{Int,Any}, member, options)
    size = compute_complexity(member, options)
    return !any(other <= size && known.cost <= member.cost for (other, known) in front)
end

"""Note the lowest loss that evolution has reached: a proposal is a gain only below it."""
function note_best!(search::Search, hall)
    for (member, exists) in zip(hall.members, hall.exists)
        exists && (search.best_loss = min(search.best_loss, Float64(member.loss)))
    end
    return nothing
end

"""Note a proposal below all losses so far; tells whether it is."""
function note_gain!(search::Search, loss::Float64)
    isfinite(search.best_loss) && loss >= search.best_loss - PROGRESS * abs(search.best_loss) && return false
    search.best_loss = loss
    search.spent_at_gain = @lock TALLY_LOCK search.tally.model_seconds
    return true
end

"""Let proposals into the hall of fame where they are better than what is there: answers, or `all_of_it`."""
function let_in!(search::Search, hall, dataset, options; all_of_it::Bool)
    exact, entered = exact_loss(search, dataset, options), 0
    for (size, member) in search.front
        all_of_it || is_answer(search, member, exact) || stops(member, size, options) || continue
        size <= lastindex(hall.exists) || continue
        hall.exists[size] && hall.members[size].cost <= member.cost && continue
        hall.members[size], hall.exists[size] = copy(member), true
        entered += 1
    end
    entered > 0 && @lock TALLY_LOCK search.tally.injected += entered
    return nothing
end

"""Whether the user's condition ends the search at this member."""
function stops(member, size::Int, options)
    condition = options.early_stop_condition
    return !isnothing(condition) && condition(member.loss, size) === true
end

"""
Share of the constant's loss that is left at most of what leaves nothing (`EXACT` of `pysr_neural/interop/explained.py`),
and that the engine's rounding may leave of it.
"""
const UNROUNDED, ROUNDED = 1e-13, 1e-4

"""
Whether the user's condition would end the search at a member that leaves nothing of the data as they were given, if the
engine had all their digits: rounded to its own, they leave more of the law itself than many a condition accepts, and such a
search would never end. Only for squared errors, and where the server has seen all rows.
"""
function stops_unrounded(search::Search, member, size::Int, dataset, options)
    condition, constant = options.early_stop_condition, constant_loss(search, dataset, options)
    squares = options.elementwise_loss isa SymbolicRegression.L2DistLoss &&
        isnothing(options.loss_function) && isnothing(options.loss_function_expression) && isnothing(dataset.weights)
    usable = squares && isfinite(exact_loss(search, dataset, options)) && dataset.n <= ROWS_SENT
    usable && !isnothing(condition) && Float64(member.loss) <= ROUNDED * constant || return false
    return condition(oftype(member.loss, UNROUNDED * constant), size) === true
end

"""
End the search: the user's condition is met. The engine looks at it only after an iteration of every population; the
answer enters the hall of fame when the search ends.
"""
function end_early!(search::Search)
    isnothing(search.stop) || search.outputs > 1 || (search.stop.requested[] = true)
    return nothing
end

"""
Ask for what can be made of members of the front, of some others, and of a population's best, whenever the time for it
was earned. The answer goes to the head, whichever population asked.
"""
function ask_on!(state::ProposerState, plugin::NeuralProposerPlugin, others, pop, options, search::Search)
    (has(state.levels, REFRESH) && search.home && !search.answered && !isempty(plugin.address)) || return nothing
    (@atomic :monotonic search.in_flight) && return nothing
    length(stock_of(search, 0)) < plugin.batch_size || return nothing
    is_open(client_of(plugin).breaker) && return skip!(search.tally, "circuit breaker open")
    affordable(search, plugin, plugin.batch_size) || return skip!(search.tally, "time budget used up")
    best = partialsortperm(pop.members, 1:min(SHOWN_OF_POPULATION, pop.n); by=member -> Float64(member.cost))
    front = @lock search.lock collect(values(search.front))
    members = Iterators.flatten((others, front, pop.members[best]))
    job = ask!(
        search, :refresh, state, members, options;
        count=plugin.batch_size, levels=(state.levels & REFRESH), population=0,
    )
    if !isnothing(job) && plugin.synchronous
        wait_for(job, min(2 * plugin.request_timeout, seconds_left(search, options)))
    end
    return nothing
end
