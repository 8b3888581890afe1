# Which change is made: places drawn by what is known before, plants by what they would do there, the edit.
#
# Owns the draws and the edit. Does not own what is told of a place (Foresight.jl) nor the scores (Network.jl).

"""Losses are compared in bits, clipped and divided by 10."""
const LOWEST_DECREASE, HIGHEST_DECREASE = -1.0f0, 2.0f0

"""A place where a change fits into the limit, by the network's idea of a good place; `nothing` where there is none."""
function draw_place(rng::AbstractRNG, foresight::Foresight, seen::Seen)
    (; chances, sizes, limit) = seen
    total, every, fitting = length(seen.codes), 0.0f0, 0.0f0
    likely, forms = foresight.network.forms, total + 2 <= limit ? foresight.forms : foresight.forms[1:0]
    @inbounds for i in 1:total
        every += chances[i]
        fitting += ifelse(total - sizes[i] < limit, chances[i], 0.0f0)
    end
    joining = sum(form -> likely[1 + Int(first(form))], forms; init=0.0f0)
    whole = likely[1] * fitting + joining * every
    whole > 0 || return nothing
    form, at = drawn_form(forms, likely, rand(rng, Float32) * whole, fitting, every)
    return Place(drawn_node(seen, at, form == REPLACE ? limit : typemax(Int)), form)
end

"""The form that lies at a point, and how far into its nodes the point is."""
@inline function drawn_form(forms, likely, at::Float32, fitting::Float32, every::Float32)
    at < likely[1] * fitting && return REPLACE, at / likely[1]
    isempty(forms) && return REPLACE, fitting
    at -= likely[1] * fitting
    for (form, _) in forms
        part = likely[1 + Int(form)]
        at < part * every && return form, at / part
        at -= part * every
    end
    return first(last(forms)), every
end

function drawn_node(seen::Seen, at::Float32, limit::Int)
    total, node = length(seen.codes), 1
    @inbounds for i in 1:total
        total - seen.sizes[i] < limit || continue
        node = i
        at -= seen.chances[i]
        at < 0 && break
    end
    return node
end

function room_of(seen::Seen, place::Place)
    return seen.limit - length(seen.codes) + (place.form == REPLACE ? seen.sizes[place.node] : -1)
end

"""Products of all plants with what a place wants."""
function multiply!(foresight::Foresight)
    (; planted, weights, pulls, products) = foresight
    count, n = size(planted)
    fill!(products, 0.0)
    r = 1
    @inbounds while r + 3 <= n
        w1, w2, w3, w4 = weights[r], weights[r + 1], weights[r + 2], weights[r + 3]
        a1, a2, a3, a4 = pulls[r], pulls[r + 1], pulls[r + 2], pulls[r + 3]
        @simd ivdep for k in 1:count
            v1, v2, v3, v4 = planted[k, r], planted[k, r + 1], planted[k, r + 2], planted[k, r + 3]
            products[k, 1] += muladd(w1 * v1, v1, w2 * v2 * v2) + muladd(w3 * v3, v3, w4 * v4 * v4)
            products[k, 2] += muladd(a1, v1, a2 * v2) + muladd(a3, v3, a4 * v4)
        end
        r += 4
    end
    @inbounds for r in r:n, k in 1:count
        products[k, 1] += weights[r] * planted[k, r] * planted[k, r]
        products[k, 2] += pulls[r] * planted[k, r]
    end
    return products
end

"""How far below the present loss each plant would bring it, in one place; the factors that fit best go to `factors`."""
function tell!(foresight::Foresight, seen::Seen, place::Place, factors::AbstractVector{Float64})
    rest = want!(foresight, seen, place)
    (; decreases, products) = foresight
    isfinite(rest) || return fill!(decreases, LOWEST_DECREASE)
    multiply!(foresight)
    present, count = bits(seen.loss), size(products, 1)
    @inbounds @simd ivdep for k in 1:count
        squares, aims = products[k, 1], products[k, 2]
        factor = aims / squares
        factors[k] = factor
        decreases[k] = decrease(present, rest - 2aims + squares)
        decreases[k + count] = decrease(present, rest - aims * factor)
    end
    return decreases
end

@inline function decrease(present::Float32, loss::Float64)
    bounded = bounded_by(loss, LEAST_LOSS, MOST_LOSS)  # The highest for what is not a number.
    return bounded_by((present - quick_log2(Float32(bounded))) / 10, LOWEST_DECREASE, HIGHEST_DECREASE)
end

"""The network's score of each plant in one place."""
function score!(foresight::Foresight, seen::Seen, place::Place)
    (; node, form) = place
    total = length(seen.codes)
    features = place_features(seen.sizes[node], seen.depths[node], node == 1, total, seen.loss, seen.limit)
    room = Float32(room_of(seen, place))
    return score!(
        foresight.scores, foresight.decreases, foresight.network, foresight.needed, 1 + Int(form), features, room
    )
end

"""Look at a place of a tree, if that has not been done; the oldest of many is forgotten."""
function consider!(foresight::Foresight, seen::Seen, place::Place)
    (; places, sums, likely, factors) = seen
    place in places && return nothing
    p = length(places) + 1
    if p > KEPT_PLACES
        p = seen.oldest = mod1(seen.oldest + 1, KEPT_PLACES)
        places[p] = place
    else
        push!(places, place)
    end
    tell!(foresight, seen, place, view(factors, :, p))
    scores, whole, scale = score!(foresight, seen, place), 0.0f0, 1 / log(2.0f0)
    @inbounds @simd ivdep for k in eachindex(scores)
        chance = ifelse(scores[k] == -Inf32, 0.0f0, quick_exp2(scores[k] * scale))
        likely[k, p] = chance
        whole += chance
    end
    sums[p] = whole
    return nothing
end

"""Numbers of a place and a plant, drawn by the softmax of the scores, none twice; zeros where nothing is left."""
function draw_change!(rng::AbstractRNG, seen::Seen)
    (; sums, likely, places) = seen
    at = rand(rng, Float32) * sum(view(sums, eachindex(places)))
    p = 1
    while p < length(places) && at >= sums[p]
        at -= sums[p]
        p += 1
    end
    drawn = 0
    @inbounds for k in axes(likely, 1)
        likely[k, p] > 0 || continue
        drawn = k
        at -= likely[k, p]
        at < 0 && break
    end
    drawn == 0 && (sums[p] = 0.0f0; return 0, 0)
    sums[p] = max(sums[p] - likely[drawn, p], 0.0f0)
    likely[drawn, p] = 0.0f0
    return p, drawn
end

"""
The tree, of the member with the reference `ref` (0: of none), with a small change that the network likes, made in place;
`nothing` where nothing can be told or fits. Each time that a member comes again one more place of it is looked at, all
places so far are chosen from, and no change is made twice.
"""
function change!(rng::AbstractRNG, foresight::Foresight, tree::AbstractExpressionNode, limit::Int, ref::Int=0)
    seen = look!(foresight, tree, limit, ref)
    isnothing(seen) && return nothing
    for _ in 1:(foresight.new_places)
        place = draw_place(rng, foresight, seen)
        isnothing(place) && return nothing
        consider!(foresight, seen, place)
    end
    p, k = draw_change!(rng, seen)
    p == 0 && return nothing
    count = length(foresight.needed) ÷ 2
    fitted, number = k > count, mod1(k, count)
    factor = fitted ? seen.factors[number, p] : 1.0
    abs(factor) <= LARGEST_FITTED || return nothing
    planted = planted_tree(foresight, typeof(tree), foresight.plants[number], fitted, factor)
    return make!(foresight, seen, tree, seen.places[p], planted)
end

function planted_tree(foresight::Foresight, ::Type{N}, plant::Plant, fitted::Bool, factor) where {T,N<:AbstractExpressionNode{T}}
    plant == CONSTANT_PLANT && return N(; val=convert(T, factor))
    grown = N(; feature=plant.first)
    if plant.second != 0
        grown = branch(foresight, plant.operator, (grown, N(; feature=plant.second)))
    elseif plant.operator != 0
        grown = branch(foresight, plant.operator, (grown,))
    end
    return fitted ? branch(foresight, foresight.times, (N(; val=convert(T, factor)), grown)) : grown
end

"""A node with the operator at a wire index; the engine's own way takes half a microsecond to find its types."""
@inline function branch(foresight::Foresight, index::Int, children::NTuple{D,N}) where {D,N<:AbstractExpressionNode}
    node = N()
    node.degree, node.op = UInt8(D), UInt8(last(engine_index(foresight.table, index)))
    set_children!(node, children)
    return node
end

function make!(foresight::Foresight, seen::Seen, tree::N, place::Place, planted::N) where {N<:AbstractExpressionNode}
    target = node_at(seen, tree, place.node)
    if place.form != REPLACE
        index = last(foresight.forms[findfirst(pair -> first(pair) == place.form, foresight.forms)])
        moved = N()
        set_node!(moved, target)
        planted = branch(foresight, index, (moved, planted))
    end
    set_node!(target, planted)
    return tree
end

"""The node at a place in prefix order of a tree that was looked at."""
function node_at(seen::Seen, node::AbstractExpressionNode, target::Int)
    i = 1
    while i != target
        second = i + 1 + seen.sizes[i + 1]
        first = node.degree == 1 || target < second
        node, i = first ? (get_child(node, 1), i + 1) : (get_child(node, 2), second)
    end
    return node
end
