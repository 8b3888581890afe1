# Which of the changes that were looked at is made: the losses told, the network's scores, a draw, the edit.
#
# Owns features, scores and the edit. Does not own what is told of a place (Foresight.jl).

const FORBIDDEN = 1.0f6
"""Losses are compared in bits, clipped and divided by 10."""
const LOWEST_DECREASE, HIGHEST_DECREASE = -1.0f0, 2.0f0

"""Nodes that each plant takes, as it is and then times a constant that is fitted; a constant is always fitted."""
function nodes_needed(plants::Vector{Plant}, has_times::Bool)
    plain = [plant == CONSTANT_PLANT ? FORBIDDEN : Float32(size_of(plant)) for plant in plants]
    fitted = map(plants) do plant
        plant == CONSTANT_PLANT ? 1.0f0 : has_times ? Float32(size_of(plant) + 2) : FORBIDDEN
    end
    return [plain; fitted]
end

"""What the network is told of a plant."""
function plant_features(plant::Plant, needed::Float32, fitted::Bool)
    constant = plant == CONSTANT_PLANT
    needed = needed == FORBIDDEN ? 0.0f0 : needed
    return (needed / 5, Float32(fitted), Float32(constant), Float32(plant.operator > 0 && plant.second == 0), Float32(plant.second != 0))
end

"""What the network is told of a place."""
function place_features(foresight::Foresight, place::Place, limit::Int)
    total = length(foresight.codes)
    return (
        Float32(place.form == REPLACE), Float32(place.form == ADD), Float32(place.form == MULTIPLY),
        Float32(place.form == DIVIDE_BY), Float32(foresight.sizes[place.node] / 20),
        Float32(foresight.depths[place.node] / 8), Float32(place.node == 1), Float32(total / 30),
        clamp(bits(foresight.loss) / 10, -3.0f0, 1.0f0), Float32((limit - total) / 30),
    )
end

"""Base-2 logarithm, linear between powers of 2 (off by at most 0.09): a step takes a thousand."""
@inline quick_log2(x::Float32) = reinterpret(Int32, x) * 2.0f0^-23 - 127.0f0
@inline bits(loss::Float64) = quick_log2(Float32(clamp(loss, LEAST_LOSS, MOST_LOSS)))
@inline quick_exp2(x::Float32) = reinterpret(Float32, unsafe_trunc(Int32, (ifelse(x > -126.0f0, x, -126.0f0) + 127.0f0) * 2.0f0^23))

unit_at(h::Int) = (h - 1) * (2 + PLACE_FEATURES + PLANT_FEATURES)
const OUTPUTS_AT = unit_at(HIDDEN + 1)
const DIRECT_AT = OUTPUTS_AT + HIDDEN

function weigh_plants!(foresight::Foresight)
    (; plants, needed, weights, offsets) = foresight
    for k in eachindex(needed)
        fitted = k > length(plants)
        features = plant_features(plants[fitted ? k - length(plants) : k], needed[k], fitted)
        for h in 1:(HIDDEN + 1)
            at = h > HIDDEN ? DIRECT_AT + PLACE_FEATURES : unit_at(h) + 1 + PLACE_FEATURES
            offsets[k, h] = sum(features[j] * weights[at + j] for j in 1:PLANT_FEATURES)
        end
    end
    return nothing
end

"""Some of the places where a change fits into the limit, drawn anew."""
function draw_places!(rng::AbstractRNG, foresight::Foresight, limit::Int; most::Int=foresight.most_places)
    places, count = empty!(foresight.places), length(foresight.codes)
    for i in 1:count
        count - foresight.sizes[i] < limit && push!(places, Place(i, REPLACE))
        count + 2 <= limit || continue
        for (form, _) in foresight.forms
            push!(places, Place(i, form))
        end
    end
    for k in 1:min(most, length(places))
        other = rand(rng, k:length(places))
        places[k], places[other] = places[other], places[k]
    end
    return resize!(places, min(most, length(places)))
end

function room_of(foresight::Foresight, place::Place, limit::Int)
    return limit - length(foresight.codes) + (place.form == REPLACE ? foresight.sizes[place.node] : -1)
end

"""Products of all plants with what a place wants."""
function multiply!(foresight::Foresight)
    (; planted, wanted, products) = foresight
    fill!(products, 0.0)
    count, n = size(planted)
    r = 1
    @inbounds while r + 3 <= n
        w1, w2, w3, w4 = wanted[r, 1], wanted[r + 1, 1], wanted[r + 2, 1], wanted[r + 3, 1]
        a1, a2, a3, a4 = wanted[r, 2], wanted[r + 1, 2], wanted[r + 2, 2], wanted[r + 3, 2]
        @simd ivdep for k in 1:count
            v1, v2, v3, v4 = planted[k, r], planted[k, r + 1], planted[k, r + 2], planted[k, r + 3]
            products[k, 1] += muladd(w1 * v1, v1, w2 * v2 * v2) + muladd(w3 * v3, v3, w4 * v4 * v4)
            products[k, 2] += muladd(a1, v1, a2 * v2) + muladd(a3, v3, a4 * v4)
        end
        r += 4
    end
    @inbounds for r in r:n, k in 1:count
        products[k, 1] += wanted[r, 1] * planted[k, r] * planted[k, r]
        products[k, 2] += wanted[r, 2] * planted[k, r]
    end
    return products
end

"""How far below the present loss each plant would bring it, in one place."""
function tell!(foresight::Foresight, p::Int)
    rest = want!(foresight, foresight.places[p])
    decreases = view(foresight.decreases, :, p)
    isfinite(rest) || return fill!(decreases, LOWEST_DECREASE)
    products, present, count = multiply!(foresight), bits(foresight.loss), length(foresight.plants)
    @inbounds @simd ivdep for k in 1:count
        squares, aims = products[k, 1], products[k, 2]
        decreases[k] = decrease(present, rest - 2aims + squares)
        decreases[k + count] = decrease(present, rest - aims * aims / squares)
    end
    return decreases
end

"""A clamp that the compiler makes a vector of; what is not a number becomes the highest."""
@inline function bounded_by(x, lowest, highest)
    below = ifelse(x < highest, x, highest)
    return ifelse(below > lowest, below, lowest)
end

@inline function decrease(present::Float32, loss::Float64)
    bounded = bounded_by(loss, LEAST_LOSS, MOST_LOSS)  # The highest for what is not a number.
    return bounded_by((present - quick_log2(Float32(bounded))) / 10, LOWEST_DECREASE, HIGHEST_DECREASE)
end

"""The network's score of each plant in one place; minus infinity where there is no room."""
function score!(foresight::Foresight, p::Int, limit::Int)
    (; weights, offsets, needed) = foresight
    place = foresight.places[p]
    features, room = place_features(foresight, place, limit), Float32(room_of(foresight, place, limit))
    decreases, scores = view(foresight.decreases, :, p), view(foresight.scores, :, p)
    base = sum(features[j] * weights[DIRECT_AT + j] for j in 1:PLACE_FEATURES)
    slope = weights[DIRECT_AT + PLACE_FEATURES + PLANT_FEATURES + 1]
    @inbounds @simd ivdep for k in eachindex(needed)
        scores[k] = muladd(slope, decreases[k], base + offsets[k, HIDDEN + 1])
    end
    for h in 1:HIDDEN
        at = unit_at(h)
        bias = weights[at + 1] + sum(features[j] * weights[at + 1 + j] for j in 1:PLACE_FEATURES)
        slope, output = weights[at + 2 + PLACE_FEATURES + PLANT_FEATURES], weights[OUTPUTS_AT + h]
        @inbounds @simd ivdep for k in eachindex(needed)
            unit = muladd(slope, decreases[k], bias + offsets[k, h])
            scores[k] += ifelse(unit > 0, output * unit, 0.0f0)
        end
    end
    @inbounds @simd ivdep for k in eachindex(needed)
        scores[k] = ifelse(needed[k] > room, -Inf32, scores[k])
    end
    return scores
end

function highest_of(scores)
    highest = -Inf32
    @inbounds @simd for i in eachindex(scores)
        highest = ifelse(scores[i] > highest, scores[i], highest)
    end
    return highest
end

"""A place and a plant, drawn by the softmax of the scores; `nothing` where no change fits."""
function draw_change(rng::AbstractRNG, foresight::Foresight)
    rows = size(foresight.scores, 1)
    scores = view(vec(foresight.scores), 1:(rows * length(foresight.places)))
    highest = highest_of(scores)
    isfinite(highest) || return nothing
    scale = 1 / log(2.0f0)
    @inbounds @simd ivdep for i in eachindex(scores)
        scores[i] = ifelse(scores[i] == -Inf32, 0.0f0, quick_exp2((scores[i] - highest) * scale))
    end
    p = draw(rng, p -> Float64(sum(view(foresight.scores, :, p))), eachindex(foresight.places))
    p == 0 && return nothing
    k = draw(rng, k -> Float64(foresight.scores[k, p]), 1:rows)
    return k == 0 ? nothing : (p, k)
end

"""Factor that fits a plant to a place best."""
function fitted_factor(foresight::Foresight, place::Place, plant::Int)
    want!(foresight, place)
    products = multiply!(foresight)
    return products[plant, 2] / products[plant, 1]
end

"""The tree with a small change that the network likes, made in place; `nothing` where nothing can be told or fits."""
function change!(rng::AbstractRNG, foresight::Foresight, tree::AbstractExpressionNode, limit::Int)
    look!(foresight, tree) == 0 && return nothing
    for p in eachindex(draw_places!(rng, foresight, limit))
        tell!(foresight, p)
        score!(foresight, p, limit)
    end
    drawn = draw_change(rng, foresight)
    isnothing(drawn) && return nothing
    p, k = drawn
    place, count = foresight.places[p], length(foresight.plants)
    plant = foresight.plants[k > count ? k - count : k]
    factor = k > count ? fitted_factor(foresight, place, k - count) : 1.0
    abs(factor) <= LARGEST_FITTED || return nothing
    return make!(foresight, tree, place, planted_tree(foresight, typeof(tree), plant, k > count, factor))
end

function planted_tree(foresight::Foresight, ::Type{N}, plant::Plant, fitted::Bool, factor) where {T,N<:AbstractExpressionNode{T}}
    constant() = N(; val=convert(T, factor))
    plant == CONSTANT_PLANT && return constant()
    leaves = N[N(; feature=i) for i in (plant.first, plant.second) if i > 0]
    grown = plant.operator == 0 ? only(leaves) : N(; op=last(engine_index(foresight.table, plant.operator)), children=leaves)
    fitted || return grown
    return N(; op=last(engine_index(foresight.table, foresight.times)), children=N[constant(), grown])
end

function make!(foresight::Foresight, tree::N, place::Place, planted::N) where {N<:AbstractExpressionNode}
    target = node_at(tree, place.node)
    if place.form != REPLACE
        index = last(foresight.forms[findfirst(pair -> first(pair) == place.form, foresight.forms)])
        planted = N(; op=last(engine_index(foresight.table, index)), children=N[copy(target), planted])
    end
    set_node!(target, planted)
    return tree
end

"""The node at a place in prefix order."""
function node_at(node::AbstractExpressionNode, at::Int)
    at == 1 && return node
    at -= 1
    for i in 1:Int(node.degree)
        child = get_child(node, i)
        size = length(child)
        at <= size && return node_at(child, at)
        at -= size
    end
    throw(ArgumentError("A node must lie within its tree; $at are missing."))
end
