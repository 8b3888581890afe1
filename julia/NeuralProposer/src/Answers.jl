# What the server's answers mean.
#
# Owns reading BATCH: every child and every weight is checked here, once, so that hooks can trust what they find.

"""Take in the answer to a job; throws `WireError` if its arrays contradict each other."""
function accept!(job::Job, answer::Frame)
    search, tally = job.search, job.search.tally
    scalar_of(answer, :search, Int64) == search.id || throw(WireError("BATCH answers another search."))
    count_seconds!(tally, scalar_of(answer, :elapsed, Float64))
    children = children_of(answer, search)
    @lock TALLY_LOCK begin
        tally.answers += 1
        tally.children += length(children)
    end
    scalar_of(answer, :explained, Int32) == 0 || (@atomic search.explained = true)
    stock = stock_of(search, job.population)
    put!(stock, children)
    take_guidance!(search, answer)
    weights = values_of(answer, :parent_weights, Float64)
    if !isempty(weights)
        if length(weights) == length(job.references)
            @atomic stock.parents = parent_factors(job.references, weights)
        else
            reject!(tally, "answer", "parent weights of another length")
        end
    end
    return nothing
end

function children_of(answer::Frame, search::Search)
    lengths, codes = values_of(answer, :lengths, Int32), values_of(answer, :codes, Int32)
    constants, kinds = values_of(answer, :constants, Float64), values_of(answer, :kinds, Int32)
    scores = values_of(answer, :log_probabilities, Float64)
    left = values_of(answer, :leave_noise, Int32)
    consistent =
        all(>=(0), lengths) &&
        sum(Int, lengths; init=0) == length(codes) &&
        count(iszero, codes) == length(constants) &&
        length(kinds) == length(lengths) == length(scores) == length(left) &&
        all(in(Int32.(instances(Remainder))), left)
    consistent || throw(WireError("BATCH's lengths, codes, constants, kinds and leave_noise must agree and be within their limits."))
    children = Child[]
    at, constant_at = 0, 0
    for (i, extent) in enumerate(lengths)
        part = codes[(at + 1):(at + extent)]
        values = constants[(constant_at + 1):(constant_at + count(iszero, part))]
        at, constant_at = at + extent, constant_at + length(values)
        fault = 0 <= kinds[i] < length(KINDS) ? fault_of(part, values, search.table, search.features) : :unknown_kind
        if isnothing(fault)
            push!(children, Child(part, values, kinds[i] + 1, scores[i], Remainder(left[i])))
        else
            reject!(search.tally, "decode", fault)
        end
    end
    return children
end

function take_guidance!(search::Search, answer::Frame)
    kinds = values_of(answer, :kind_weights, Float64)
    length(kinds) == length(KINDS) && (@atomic search.ratios = kind_ratios(kinds))
    crossover = values_of(answer, :crossover_probability, Float64)
    if length(crossover) == 1 && 0 <= only(crossover) <= 1
        @atomic search.crossover_probability = only(crossover)
    end
    prior = prior_of(answer, search)
    isnothing(prior) || (@atomic search.prior = prior)
    if !isnothing(prior) || !isempty(kinds)
        @atomic search.guidance_cycle = @atomic search.cycles
    end
    return nothing
end

function prior_of(answer::Frame, search::Search)
    operators = values_of(answer, :operator_weights, Float64)
    variables = values_of(answer, :variable_weights, Float64)
    pairs = values_of(answer, :pair_weights, Float64)
    isempty(operators) && isempty(variables) && return nothing
    count = length(search.table)
    sizes = (length(operators), length(variables), length(pairs))
    if sizes[1:2] != (count, search.features) || !(sizes[3] in (0, (count + 1) * (count + 2)))
        reject!(search.tally, "answer", "prior of another size")
        return nothing
    end
    return Prior(operators, variables, pairs, count)
end
