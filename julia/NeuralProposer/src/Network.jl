# The small network that chooses among changes that were looked at: which place, and what goes there.
#
# Owns its weights' order, features, scores. Does not own its training (pysr_neural_training/policy/distil.py); the twin
# is pysr_neural/proposer/policy/native.py, and golden vectors tie both.

const PLACE_FEATURES, PLANT_FEATURES, HIDDEN = 10, 5, 8
"""Features that tell the places of one tree apart before anything is told of them: form, size, depth, root."""
const DRAW_FEATURES = 7
const UNIT = 2 + PLACE_FEATURES + PLANT_FEATURES
"""
Of each hidden unit the bias, then the weights of place, plant and decrease; what the units count; a direct way; of the
draw of a place.
"""
const FORESIGHT_WEIGHTS = HIDDEN * (UNIT + 1) + PLACE_FEATURES + PLANT_FEATURES + 1 + DRAW_FEATURES

"""Nodes and losses of a tree are told in these."""
const SIZE_UNIT, DEPTH_UNIT, TOTAL_UNIT = 20.0f0, 8.0f0, 30.0f0

struct Network
    biases::Vector{Float32}
    places::Matrix{Float32}  # Units by features of a place.
    plants::Matrix{Float32}  # What each plant, as it is and then fitted, adds to each unit; last the direct way.
    slopes::Vector{Float32}  # Of the decrease.
    outputs::Vector{Float32}
    direct::Vector{Float32}  # Of a place's features.
    direct_slope::Float32
    forms::Vector{Float32}  # How likely each form is, before the tree is known.
    nodes::Vector{Float32}  # What size, depth and being the root add to a node's logarithm.
    units::Vector{Float32}  # Of one place.
end

function Network(weights::Vector{Float64}, plants::Vector{Plant}, needed::Vector{Float32})
    all_weights = isempty(weights) ? zeros(Float32, FORESIGHT_WEIGHTS) : Float32.(weights)
    units = reshape(view(all_weights, 1:(HIDDEN * UNIT)), UNIT, HIDDEN)
    outputs = all_weights[(HIDDEN * UNIT + 1):(HIDDEN * (UNIT + 1))]
    direct = all_weights[(HIDDEN * (UNIT + 1) + 1):end]
    count = length(needed) ÷ 2
    added = zeros(Float32, 2count, HIDDEN + 1)
    for (k, plant) in enumerate(plants), fitted in (false, true)
        features = plant_features(plant, needed[k + fitted * count], fitted)
        at = k + fitted * count
        for h in 1:HIDDEN
            added[at, h] = sum(features[j] * units[1 + PLACE_FEATURES + j, h] for j in 1:PLANT_FEATURES)
        end
        added[at, end] = sum(features[j] * direct[PLACE_FEATURES + j] for j in 1:PLANT_FEATURES)
    end
    draw = direct[(end - DRAW_FEATURES + 1):end]
    return Network(
        units[1, :], permutedims(units[2:(PLACE_FEATURES + 1), :]), added, units[UNIT, :], outputs,
        direct[1:PLACE_FEATURES], direct[PLACE_FEATURES + PLANT_FEATURES + 1], exp.(draw[1:4]),
        draw[5:7] ./ (log(2.0f0) .* (SIZE_UNIT, DEPTH_UNIT, 1.0f0)), zeros(Float32, HIDDEN),
    )
end

"""What the network is told of a plant."""
function plant_features(plant::Plant, needed::Float32, fitted::Bool)
    constant = plant == CONSTANT_PLANT
    needed = needed == FORBIDDEN ? 0.0f0 : needed
    return (needed / 5, Float32(fitted), Float32(constant), Float32(plant.operator > 0 && plant.second == 0), Float32(plant.second != 0))
end

"""What the network is told of a place, after its form."""
@inline function place_features(size::Int, depth::Int, root::Bool, total::Int, loss::Float64, limit::Int)
    return (
        size / SIZE_UNIT, depth / DEPTH_UNIT, Float32(root), total / TOTAL_UNIT,
        clamp(bits(loss) / 10, -3.0f0, 1.0f0), (limit - total) / TOTAL_UNIT,
    )
end

"""Base-2 logarithm, linear between powers of 2 (off by at most 0.09): a step takes a hundred."""
@inline quick_log2(x::Float32) = reinterpret(Int32, x) * 2.0f0^-23 - 127.0f0
@inline bits(loss::Float64) = quick_log2(Float32(clamp(loss, LEAST_LOSS, MOST_LOSS)))
@inline function quick_exp2(x::Float32)
    bounded = bounded_by(x, -126.0f0, 126.0f0)
    return reinterpret(Float32, unsafe_trunc(Int32, (bounded + 127.0f0) * 2.0f0^23))
end

"""A clamp that the compiler makes a vector of; what is not a number becomes the highest."""
@inline function bounded_by(x, lowest, highest)
    below = ifelse(x < highest, x, highest)
    return ifelse(below > lowest, below, lowest)
end

"""How likely the nodes of a tree are to be changed, before it is known what for."""
function weigh_nodes!(seen, network::Network)
    (; codes, sizes, depths, chances) = seen
    of_size, of_depth, of_root = network.nodes
    @inbounds @simd ivdep for i in eachindex(codes)
        chances[i] = quick_exp2(muladd(of_size, Float32(sizes[i]), of_depth * Float32(depths[i])))
    end
    chances[1] *= quick_exp2(of_root)
    return nothing
end

"""Scores of all plants in one place, from their decreases; minus infinity where there is no room."""
function score!(scores, decreases, network::Network, needed::Vector{Float32}, form::Int, features::NTuple{6,Float32}, room::Float32)
    (; biases, places, plants, slopes, outputs, direct, direct_slope, units) = network
    base = direct[form]
    copyto!(units, biases)
    add_column!(units, places, form, 1.0f0)
    for (j, feature) in enumerate(features)
        base = muladd(direct[4 + j], feature, base)
        add_column!(units, places, 4 + j, feature)
    end
    @inbounds Base.Cartesian.@nexprs 8 h -> (slope_h = slopes[h]; bias_h = units[h]; output_h = outputs[h])
    @inbounds @simd ivdep for k in eachindex(needed)
        decrease = decreases[k]
        score = muladd(direct_slope, decrease, base + plants[k, HIDDEN + 1])
        Base.Cartesian.@nexprs 8 h -> begin  # HIDDEN of them, in registers.
            unit = muladd(slope_h, decrease, bias_h + plants[k, h])
            score = muladd(output_h, ifelse(unit > 0, unit, 0.0f0), score)
        end
        scores[k] = ifelse(needed[k] > room, -Inf32, score)
    end
    return scores
end

@inline function add_column!(units::Vector{Float32}, places::Matrix{Float32}, j::Int, feature::Float32)
    @inbounds @simd ivdep for h in 1:HIDDEN
        units[h] = muladd(places[h, j], feature, units[h])
    end
end
