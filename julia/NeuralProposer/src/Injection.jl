# Proposed expressions as population members: before the search (seed level) and when it stagnates (refresh level).
#
# Owns turning children into evaluated members. Both run on the head, outside the evolution loop, with the engine's own
# evaluation; the evaluations are counted.

const SEED_REFINE_SECONDS = 1.0
"""Share of the constant's loss below which a seed is an answer."""
const EXACT = 1e-8
"""Share of the search after which seeds that are left in stock come in without stagnation."""
const LATE = 0.75

"""Ask for initial members before the search, and wait for them a little; also the first guidance."""
function start_search!(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options, ropt)
    search = state.live.search
    processes = ropt.parallelism === :multiprocessing ? max(ropt.numprocs, 1) : 1
    state.share = search.share = 1 / processes
    state.outputs = search.outputs = outputs_of(search)
    state.total_cycles = ropt.niterations * options.populations * options.ncycles_per_iteration
    isempty(plugin.address) || start!(client_of(plugin), ropt.parallelism)
    wants = state.levels & (SEED | PRIOR | KIND | CROSSOVER)
    (wants == 0 || isempty(plugin.address)) && return nothing
    count = has(state.levels, SEED) ? plugin.seed_count : 0
    job = ask!(search, :seed, state, (), options; count, levels=wants)
    isnothing(job) && return nothing
    patience = plugin.synchronous ? 2 * plugin.request_timeout : plugin.seed_timeout
    wait_for(job, min(patience, seconds_left(search, options)))
    has(state.levels, SEED) && gather_seeds!(state, plugin, dataset, options)
    return nothing
end

"""
Make the seeds out of the children that have arrived: evaluated, constants optimised, best first.

Answers become initial members at once. They and what is only close go into the common stock: the `child` level hands
each out once, and what is left comes in when the search stagnates or is about to end. As a share of all initial members,
close seeds would win every tournament, and evolution would never leave them for the stepping stones to the answer. Small
populations may draw no answer, and a search that is continued draws no initial members at all: hence the stock.
"""
function gather_seeds!(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options)
    search, started = state.live.search, time()
    ranked, answers = Tuple{Float64,Child}[], Tuple{Float64,Child}[]
    exact = exact_loss(dataset, options)
    for child in take_all!(state.live.stock)
        seconds_left(search, options) > 0 || break
        thorough = plugin.synchronous || time() - started < SEED_REFINE_SECONDS
        member, evaluations = member_of(child, search, dataset, options; refine=thorough)
        state.pending_evaluations += evaluations
        isnothing(member) && continue
        codes, constants = Int32[], Float64[]
        encode!(codes, constants, get_tree(member.tree), search.table, search.features)
        entry = (Float64(member.cost), Child(codes, constants, child.kind, child.log_probability))
        push!(Float64(member.loss) <= exact ? answers : ranked, entry)
    end
    state.seeds = last.(sort!(answers; by=first))
    put!(state.live.stock, [state.seeds; last.(sort!(ranked; by=first))])
    return nothing
end

"""The loss below which a seed is an answer; no loss is if losses may be negative, so that 0 is not the best."""
function exact_loss(dataset, options)
    baseline = dataset.use_baseline ? Float64(dataset.baseline_loss) : 0.0
    return options.loss_scale === :linear || baseline < 0 ? -Inf : EXACT * baseline
end

"""
A child as an evaluated member with the number of evaluations; `nothing` in the member's place if the search's
constraints forbid it or its cost is not finite.
"""
function member_of(child::Child, search::Search, dataset, options; refine::Bool, limit::Int=options.maxsize)
    N = with_type_parameters(options.node_type, eltype(dataset.X))
    tree = decode(N, child.codes, child.constants, search.table, search.features)
    expression = create_expression(tree, options, dataset)
    if !check_constraints(expression, options, limit)
        reject!(search.tally, "constraints", compute_complexity(expression, options) > limit ? "size" : "form")
        return nothing, 0.0
    end
    member = PopMember(dataset, expression, options; deterministic=options.deterministic)
    evaluations = 1.0
    if refine && has_constants(get_tree(member.tree))
        member, more = optimize_constants(dataset, member, options)
        evaluations += more
    end
    isfinite(member.cost) && return member, evaluations
    reject!(search.tally, "evaluation", "not finite")
    return nothing, evaluations
end

"""A tree for one initial member: a seed with the configured probability, better ones more often; else `nothing`."""
function initial_tree(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options)
    seeds = state.seeds
    (isempty(seeds) || !has(state.levels, SEED)) && return nothing
    rand() < plugin.seed_share || return nothing
    seed = seeds[ceil(Int, length(seeds) * (1 - rand())^2)]
    N = with_type_parameters(options.node_type, eltype(dataset.X))
    return decode(N, seed.codes, seed.constants, OperatorTable(options.operators.ops), size(dataset.X, 1))
end

"""Recognise the members that began as seeds, once per population."""
function mark_seeds!(state::ProposerState, search::Search, pop)
    isempty(state.seeds) && return nothing
    known = Set((seed.codes, seed.constants) for seed in state.seeds)
    for member in pop.members
        codes, constants = Int32[], Float64[]
        encode!(codes, constants, get_tree(member.tree), search.table, search.features)
        (codes, constants) in known || continue
        mark!(search.lineage, member.ref)
        state.counters.seeded += 1
    end
    state.seeds = Child[]
    return nothing
end

"""Share of a population that one injection replaces."""
const INJECTED_SHARE = 0.2
const PROGRESS = 1e-3

"""
When the best loss has not improved for `refresh_patience` iterations: ask for children of the hall of fame, and once
they are there put them in place of the worst members of the population that came back. Seeds left in stock come
first, and once when the search is about to end.
"""
function refresh!(state::ProposerState, plugin::NeuralProposerPlugin, search_state, dataset, options, pop)
    search = state.live.search
    (isnothing(search) || !has(state.levels, SEED | REFRESH)) && return nothing
    hall, stock = search_state.halls_of_fame[state.output], state.live.stock
    stale = stagnates!(state, plugin, hall, options)
    late = !stale && length(stock) > 0 && progress(search, state, options) >= LATE
    (stale || late) || return nothing
    if length(stock) == 0 && !(has(state.levels, REFRESH) && request_refresh!(state, plugin, hall, options))
        return nothing
    end
    injected = inject!(state, search, dataset, options, pop, search_state.cur_maxsizes[state.output])
    injected > 0 && (state.stale_generations = 0)
    late && empty!(stock)
    return nothing
end

"""Whether the best loss has stood still for long enough."""
function stagnates!(state::ProposerState, plugin::NeuralProposerPlugin, hall, options)
    losses = (Float64(member.loss) for (member, exists) in zip(hall.members, hall.exists) if exists)
    best = minimum(losses; init=Inf)
    if isinf(state.progress_loss) || best < state.progress_loss - PROGRESS * abs(state.progress_loss)
        state.progress_loss = best
        state.stale_generations = 0
        return false
    end
    state.stale_generations += 1
    return state.stale_generations >= plugin.refresh_patience * options.populations
end

"""Ask for children of the hall of fame; tells whether some are in stock already."""
function request_refresh!(state::ProposerState, plugin::NeuralProposerPlugin, hall, options)
    search = state.live.search
    blocked = isempty(plugin.address) || (@atomic search.in_flight) || is_open(client_of(plugin).breaker)
    (blocked || !affordable(search, plugin, plugin.batch_size)) && return false
    members = [member for (member, exists) in zip(hall.members, hall.exists) if exists]
    job = ask!(
        search, :refresh, state, members, options; count=plugin.batch_size, levels=(state.levels & (REFRESH | CHILD))
    )
    if !isnothing(job) && plugin.synchronous
        wait_for(job, min(2 * plugin.request_timeout, seconds_left(search, options)))
    end
    return length(state.live.stock) > 0
end

"""Put proposed members in place of the worst ones; returns how many."""
function inject!(state::ProposerState, search::Search, dataset, options, pop, limit::Int)
    wanted = max(1, floor(Int, INJECTED_SHARE * pop.n))
    worst = sortperm(pop.members; by=member -> Float64(member.cost), rev=true)
    injected = 0
    while injected < wanted
        child = take_child!(state.live.stock)
        isnothing(child) && break
        member, evaluations = member_of(child, search, dataset, options; refine=true, limit)
        state.pending_evaluations += evaluations
        isnothing(member) && continue
        injected += 1
        pop.members[worst[injected]] = member
        mark!(search.lineage, member.ref)
    end
    @lock TALLY_LOCK search.tally.injected += injected
    return injected
end
