# Proposals before the search: the first request, and initial members out of its answer (seed level).
#
# Owns turning children into evaluated members. It runs on the head, outside the evolution loop, with the engine's own
# evaluation; the evaluations are counted. What becomes of members that are no answer is in Front.jl.

"""Share of the constant's loss below which a proposal is an answer."""
const EXACT = 1e-8

"""
Share of the search's time, and seconds, that the proposer may have before the search where it costs the engine a core:
what it finds then need not be evolved.
"""
const HEAD_START, HEAD_START_SECONDS = 0.1, 1.0

"""Ask for initial members before the search, and wait for them a little; also the first guidance."""
function start_search!(state::ProposerState, plugin::NeuralProposerPlugin, dataset, options, ropt)
    search = state.live.search
    processes = ropt.parallelism === :multiprocessing ? max(ropt.numprocs, 1) : 1
    state.share = search.share = 1 / processes
    state.outputs = search.outputs = outputs_of(search)
    search.spare = leaves_core(plugin, ropt)
    search.head = ropt.parallelism === :serial ? state : nothing
    search.stop = hasproperty(ropt, :external_stop) ? ropt.external_stop : nothing
    state.total_cycles = ropt.niterations * options.populations * options.ncycles_per_iteration
    isempty(plugin.address) || start!(client_of(plugin); here=(ropt.parallelism === :multithreading || is_beside(search)))
    wants = state.levels & (SEED | PRIOR | KIND | CROSSOVER)
    (wants == 0 || isempty(plugin.address)) && return nothing
    seeds = has(state.levels, SEED)
    ask_and_wait!(state, (), options; count=(seeds ? plugin.seed_count : 0), levels=wants)
    seeds && gather_seeds!(state, dataset, options)
    while seeds && is_ahead(search, state, dataset, options)
        front = collect(values(search.front))
        ask_and_wait!(state, front, options; count=plugin.batch_size, levels=(state.levels & REFRESH)) || break
        gather_seeds!(state, dataset, options)
    end
    return nothing
end

"""Ask before the search, and wait as long as patience and the search's time last; whether there is an answer."""
function ask_and_wait!(state::ProposerState, members, options; count, levels)
    search = state.live.search
    plugin = search.plugin
    job = ask!(search, :seed, state, members, options; count, levels)
    isnothing(job) && return false
    patience = plugin.synchronous ? 2 * plugin.request_timeout : plugin.seed_timeout
    return wait_for(job, min(patience, seconds_left(search, options)))
end

"""
Whether to go on asking before the search: help is wanted all through it, nothing is an answer yet, the server answers, and
one more request is within its head start. Where a core is left to it, the engine need not wait.
"""
function is_ahead(search::Search, state::ProposerState, dataset, options)
    has(state.levels, REFRESH) && is_auto(search.plugin) && !search.plugin.synchronous && !search.spare || return false
    (search.best_loss <= exact_loss(search, dataset, options) || (@atomic search.explained)) && return false
    calls, answers = @lock TALLY_LOCK (search.tally.calls, search.tally.answers)
    limit = options.timeout_in_seconds
    seconds = isnothing(limit) ? HEAD_START_SECONDS : min(HEAD_START * limit, HEAD_START_SECONDS)
    return calls == answers > 0 && (time() - search.started) * (1 + 1 / calls) <= seconds / search.outputs
end

"""
Judge the children that have arrived. Answers become initial members; they and what is only close go to the front. As
initial members, close seeds would win every tournament, and evolution would never leave them for the stepping stones to
the answer.
"""
function gather_seeds!(state::ProposerState, dataset, options)
    search = state.live.search
    exact, answers = exact_loss(search, dataset, options), Tuple{Float64,Child}[]
    for child in take_all!(state.live.stock)
        seconds_left(search, options) > 0 || break
        member = offer!(state, search, child, dataset, options, options.maxsize)
        (isnothing(member) || !is_answer(search, member, exact)) && continue
        codes, constants = Int32[], Float64[]
        encode!(codes, constants, get_tree(member.tree), search.table, search.features)
        push!(answers, (Float64(member.cost), Child(codes, constants, child.kind, child.log_probability)))
    end
    state.seeds = last.(sort!(answers; by=first))
    return nothing
end

"""The loss below which a seed is an answer; no loss is if losses may be negative, so that 0 is not the best."""
function exact_loss(search::Search, dataset, options)
    constant = constant_loss(search, dataset, options)
    return options.loss_scale === :linear || constant < 0 ? -Inf : EXACT * constant
end

"""
Loss of the constant nearest to the data: their mean, or the engine's own, which is 0 and far from data that lie about
1,000, where it would take near misses for answers. 0 where no loss is known.
"""
function constant_loss(search::Search, dataset, options)
    isnan(search.constant_loss) || return search.constant_loss
    dataset.use_baseline || return search.constant_loss = 0.0
    mean = sum(dataset.y) / length(dataset.y)
    N = with_type_parameters(options.node_type, eltype(dataset.X))
    tree = create_expression(decode(N, Int32[0], Float64[mean], search.table, search.features), options, dataset)
    losses = Float64[dataset.baseline_loss, SymbolicRegression.eval_loss(tree, dataset, options)]
    return search.constant_loss = minimum(filter(!isnan, losses))
end

"""
A child as an evaluated member; `nothing`, counted, if the search's constraints forbid it or its cost is not finite.
"""
function member_of(child::Child, search::Search, dataset, options, limit::Int)
    N = with_type_parameters(options.node_type, eltype(dataset.X))
    tree = decode(N, child.codes, child.constants, search.table, search.features)
    expression = create_expression(tree, options, dataset)
    if !check_constraints(expression, options, limit)
        reject!(search.tally, "constraints", compute_complexity(expression, options) > limit ? "size" : "form")
        return nothing
    end
    member = PopMember(dataset, expression, options; deterministic=options.deterministic)
    isfinite(member.cost) && return member
    reject!(search.tally, "evaluation", "not finite")
    return nothing
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

"""A member's codes and constants."""
function written(member, search::Search)
    codes, constants = Int32[], Float64[]
    encode!(codes, constants, get_tree(member.tree), search.table, search.features)
    return codes, constants
end

"""Recognise the members that began as seeds, once per population."""
function mark_seeds!(state::ProposerState, search::Search, pop)
    isempty(state.seeds) && return nothing
    known = Set((seed.codes, seed.constants) for seed in state.seeds)
    @lock search.lock union!(search.seeds, known)
    for member in pop.members
        written(member, search) in known || continue
        mark!(search.lineage, member.ref)
        state.counters.seeded += 1
    end
    state.seeds = Child[]
    return nothing
end
