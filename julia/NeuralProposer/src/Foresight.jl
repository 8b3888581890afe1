# Looking ahead inside a mutation step: what the nodes of a tree should be, and which small change comes near to that.
#
# Owns `Foresight` (rows of the data, small trees to plant, buffers), the pass up (values) and down (wanted values), the
# choice of a change and the edit. Does not own the network's training, nor its features' twin
# (pysr_neural/proposer/policy/native.py); golden vectors tie both.
#
# Going down from the root, y is taken through the inverse of every operator and errors are weighed by its slope, so that
# the loss with values v in a place is a parabola: rest - 2 aims'v + weights'v^2. Where the way up is affine the loss told
# is exact; elsewhere it is exact where it is 0, and of first order beside that. All arrays are made once per population.

const FORESEEN_ROWS = 32
const FORESEEN_PLACES = 4
const MOST_PLANTS = 64
"""Nodes beyond which a tree is left to the engine's own kinds."""
const FORESEEN_NODES = 64
"""Share of the rows on which a place has to want something."""
const KNOWN_ROWS = 0.9
const LEAST_LOSS, MOST_LOSS = 1e-10, 1e10
const LARGEST_FITTED = 1e8

@enum Opcode::UInt8 UNKNOWN PLUS MINUS TIMES DIVIDE NEGATE INVERT SQUARE CUBE SQRT EXP LOG TANH SIN COS ABS
const OPCODES = Dict{Tuple{String,Int},Opcode}(
    ("+", 2) => PLUS, ("-", 2) => MINUS, ("*", 2) => TIMES, ("/", 2) => DIVIDE, ("neg", 1) => NEGATE,
    ("inv", 1) => INVERT, ("square", 1) => SQUARE, ("cube", 1) => CUBE, ("sqrt", 1) => SQRT, ("exp", 1) => EXP,
    ("log", 1) => LOG, ("tanh", 1) => TANH, ("sin", 1) => SIN, ("cos", 1) => COS, ("abs", 1) => ABS,
)

"""What a change does with the node that it is made at: something in its place, or `node + something` and so on."""
@enum Form::UInt8 REPLACE ADD MULTIPLY DIVIDE_BY
const FORM_OPCODES = (ADD => PLUS, MULTIPLY => TIMES, DIVIDE_BY => DIVIDE)

"""A small tree: an operator (wire index, 0: none) over leaves (variables, 0: none, -1: the constant)."""
struct Plant
    operator::Int
    first::Int
    second::Int
end
const CONSTANT_PLANT = Plant(0, -1, 0)
size_of(plant::Plant) = (plant.operator > 0) + 1 + (plant.second != 0)

struct Place
    node::Int
    form::Form
end

const PLACE_FEATURES, PLANT_FEATURES, HIDDEN = 10, 5, 8
"""Of each hidden unit the bias, then the weights of place, plant and decrease; what the units count; a direct way."""
const FORESIGHT_WEIGHTS = HIDDEN * (2 + PLACE_FEATURES + PLANT_FEATURES) + HIDDEN + PLACE_FEATURES + PLANT_FEATURES + 1

mutable struct Foresight
    const table::OperatorTable
    const opcodes::Vector{Opcode}
    const forms::Vector{Tuple{Form,Int}}  # With the operator's wire index.
    const times::Int
    const columns::Matrix{Float64}
    const y::Vector{Float64}
    const share::Float64
    const plants::Vector{Plant}
    const planted::Matrix{Float64}  # Plants by rows.
    const offsets::Matrix{Float32}  # What each plant, as it is and then fitted, adds to each unit; last the direct way.
    const weights::Vector{Float32}
    const codes::Vector{Int32}
    const constants::Vector{Float64}
    const sizes::Vector{Int}
    const depths::Vector{Int}
    const values::Matrix{Float64}  # Rows by nodes, as the next three.
    const aims::Matrix{Float64}
    const slopes::Matrix{Float64}
    const places::Vector{Place}
    const wanted::Matrix{Float64}  # Of one place: weights, and weights times aims.
    const products::Matrix{Float64}  # Of each plant with these: weights times its square, and aims times it.
    const needed::Vector{Float32}  # Nodes of each plant, as it is and then fitted.
    const most_places::Int  # That a step looks at, drawn anew each time: this bounds its price.
    const decreases::Matrix{Float32}  # Plants as they are, then fitted, by places.
    const scores::Matrix{Float32}
    loss::Float64
end

"""Forethought for one population; `weights` of the network, or none: then all changes are equally likely."""
function Foresight(
    X::AbstractMatrix, y::AbstractVector, table::OperatorTable, weights::Vector{Float64}; most_places::Int=FORESEEN_PLACES
)
    features, total = size(X)
    rows = unique(round.(Int, range(1, total; length=min(FORESEEN_ROWS, total))))
    columns, target = Float64.(permutedims(X[:, rows])), Float64.(y[rows])
    opcodes = [get(OPCODES, (name, Int(arity)), UNKNOWN) for (name, arity) in zip(table.names, table.arities)]
    index(opcode) = something(findfirst(==(opcode), opcodes), 0)
    forms = [(form, index(opcode)) for (form, opcode) in FORM_OPCODES if index(opcode) > 0]
    plants = plants_of(opcodes, table.arities, features)
    network = isempty(weights) ? zeros(Float32, FORESIGHT_WEIGHTS) : Float32.(weights)
    count, n = length(plants), length(rows)
    middle = sum(target) / n
    spread = sum(value -> abs2(value - middle), target)
    nodes() = zeros(n, FORESEEN_NODES)
    foresight = Foresight(
        table, opcodes, forms, index(TIMES), columns, target, 1 / max(spread, floatmin(Float32)), plants,
        zeros(count, n), zeros(Float32, 2count, HIDDEN + 1), network, Int32[], Float64[], zeros(Int, FORESEEN_NODES),
        zeros(Int, FORESEEN_NODES), nodes(), nodes(), nodes(), Place[], zeros(n, 2), zeros(count, 2),
        nodes_needed(plants, index(TIMES) > 0), most_places, zeros(Float32, 2count, most_places),
        zeros(Float32, 2count, most_places), Inf,
    )
    for (i, plant) in enumerate(plants)
        grow!(view(foresight.planted, i, :), plant, foresight)
    end
    weigh_plants!(foresight)
    return foresight
end

"""The constant, the variables, operators over them; the simplest first, as many as there is room for."""
function plants_of(opcodes::Vector{Opcode}, arities::Vector{Int32}, features::Int)
    plants = [CONSTANT_PLANT; [Plant(0, i, 0) for i in 1:features]]
    known(arity) = [i for i in eachindex(opcodes) if arities[i] == arity && opcodes[i] != UNKNOWN]
    append!(plants, (Plant(op, i, 0) for i in 1:features for op in known(1) if opcodes[op] != NEGATE))
    for j in 1:features, i in 1:features, op in known(2)
        swaps = opcodes[op] in (PLUS, TIMES)
        (i == j ? opcodes[op] == TIMES : !swaps || i < j) && push!(plants, Plant(op, i, j))
    end
    return first(plants, MOST_PLANTS)
end

function grow!(into::AbstractVector{Float64}, plant::Plant, foresight::Foresight)
    column(i) = i < 0 ? fill!(similar(into), 1.0) : view(foresight.columns, :, i)
    plant.operator == 0 && return into .= column(plant.first)
    second = plant.second == 0 ? column(plant.first) : column(plant.second)
    compute!(into, foresight.opcodes[plant.operator], column(plant.first), second)
    all(isfinite, into) || fill!(into, NaN)
    return into
end

"""Values of an operator; of one argument, the second is ignored."""
@inline function compute!(into, opcode::Opcode, a, b)
    if opcode == PLUS
        @inbounds @simd for r in eachindex(into)
            into[r] = a[r] + b[r]
        end
    elseif opcode == MINUS
        @inbounds @simd for r in eachindex(into)
            into[r] = a[r] - b[r]
        end
    elseif opcode == TIMES
        @inbounds @simd for r in eachindex(into)
            into[r] = a[r] * b[r]
        end
    elseif opcode == DIVIDE
        @inbounds @simd for r in eachindex(into)
            into[r] = a[r] / b[r]
        end
    else
        @inbounds for r in eachindex(into)
            into[r] = apply(opcode, a[r])
        end
    end
    return into
end

@inline function apply(opcode::Opcode, x::Float64)
    opcode == EXP && return exp(x)
    opcode == LOG && return x > 0 ? log(x) : NaN
    opcode == SQRT && return x >= 0 ? sqrt(x) : NaN
    opcode == SIN && return isfinite(x) ? sin(x) : NaN
    opcode == COS && return isfinite(x) ? cos(x) : NaN
    opcode == SQUARE && return x * x
    opcode == CUBE && return x * x * x
    opcode == INVERT && return 1 / x
    opcode == NEGATE && return -x
    opcode == TANH && return tanh(x)
    opcode == ABS && return abs(x)
    return NaN
end

"""What the argument of an operator should be where its value should be `aim`, and the slope there; `x` is what it is."""
@inline function undo(opcode::Opcode, aim::Float64, x::Float64)
    opcode == EXP && return aim > 0 ? (log(aim), aim) : (NaN, NaN)
    opcode == LOG && return (exp(aim), exp(-aim))
    opcode == SQRT && return aim >= 0 ? (aim * aim, 0.5 / aim) : (NaN, NaN)
    opcode == SQUARE && return aim >= 0 ? (copysign(sqrt(aim), x), 2sqrt(aim)) : (NaN, NaN)
    opcode == CUBE && return (cbrt(aim), 3abs2(cbrt(aim)))
    opcode == INVERT && return (1 / aim, aim * aim)
    opcode == NEGATE && return (-aim, 1.0)
    opcode == TANH && return abs(aim) < 1 ? (atanh(aim), 1 - aim * aim) : (NaN, NaN)
    opcode == ABS && return (copysign(aim, x), 1.0)
    isfinite(x) || return (NaN, NaN)
    value, slope = opcode == SIN ? (sin(x), cos(x)) : (cos(x), -sin(x))  # No inverse: linear about what is there.
    return (x + (aim - value) / slope, slope)
end

"""
Look at a tree: fill in what its nodes are and should be, in prefix order. Tells how many there are; 0 where the tree is
too large, has an operator that is not known here, or no finite loss.
"""
function look!(foresight::Foresight, tree::AbstractExpressionNode)
    codes, constants = empty!(foresight.codes), empty!(foresight.constants)
    features = size(foresight.columns, 2)
    encode!(codes, constants, tree, foresight.table, features)
    count = length(codes)
    count <= FORESEEN_NODES || return 0
    look_up!(foresight, features) || return 0
    look_down!(foresight, features)
    loss = 0.0
    @inbounds @simd for r in eachindex(foresight.y)
        loss += abs2(foresight.values[r, 1] - foresight.y[r])
    end
    foresight.loss = loss * foresight.share
    return isfinite(foresight.loss) ? count : 0
end

opcode_of(foresight::Foresight, code::Integer, features::Int) = foresight.opcodes[code - features]
second_of(foresight::Foresight, i::Int) = i + 1 + foresight.sizes[i + 1]

function look_up!(foresight::Foresight, features::Int)
    remaining = length(foresight.constants)
    for i in reverse(eachindex(foresight.codes))
        code, into = foresight.codes[i], view(foresight.values, :, i)
        if code == 0
            fill!(into, foresight.constants[remaining])
            remaining -= 1
            foresight.sizes[i] = 1
        elseif code <= features
            copyto!(into, view(foresight.columns, :, Int(code)))
            foresight.sizes[i] = 1
        else
            opcode = opcode_of(foresight, code, features)
            opcode == UNKNOWN && return false
            binary = foresight.table.arities[code - features] == 2
            foresight.sizes[i] = 1 + foresight.sizes[i + 1]
            second = binary ? second_of(foresight, i) : i + 1
            binary && (foresight.sizes[i] += foresight.sizes[second])
            compute!(into, opcode, view(foresight.values, :, i + 1), view(foresight.values, :, second))
        end
    end
    return true
end

function look_down!(foresight::Foresight, features::Int)
    copyto!(view(foresight.aims, :, 1), foresight.y)
    fill!(view(foresight.slopes, :, 1), 1.0)
    foresight.depths[1] = 0
    for i in eachindex(foresight.codes)
        code = foresight.codes[i]
        code <= features && continue
        foresight.depths[i + 1] = foresight.depths[i] + 1
        opcode = opcode_of(foresight, code, features)
        if foresight.table.arities[code - features] == 2
            foresight.depths[second_of(foresight, i)] = foresight.depths[i] + 1
            pull_two!(foresight, opcode, i, i + 1, second_of(foresight, i))
        else
            pull_one!(foresight, opcode, i)
        end
    end
    return nothing
end

function pull_one!(foresight::Foresight, opcode::Opcode, i::Int)
    values, aims, slopes = foresight.values, foresight.aims, foresight.slopes
    @inbounds for r in eachindex(foresight.y)
        aims[r, i + 1], slope = undo(opcode, aims[r, i], values[r, i + 1])
        slopes[r, i + 1] = slopes[r, i] * slope
    end
    return nothing
end

function pull_two!(foresight::Foresight, opcode::Opcode, i::Int, j::Int, k::Int)
    values, aims, slopes = foresight.values, foresight.aims, foresight.slopes
    @inbounds @simd for r in eachindex(foresight.y)
        aim, slope, a, b = aims[r, i], slopes[r, i], values[r, j], values[r, k]
        if opcode == PLUS
            aims[r, j], aims[r, k] = aim - b, aim - a
            slopes[r, j] = slopes[r, k] = slope
        elseif opcode == MINUS
            aims[r, j], aims[r, k] = aim + b, a - aim
            slopes[r, j] = slopes[r, k] = slope
        elseif opcode == TIMES
            aims[r, j], aims[r, k] = aim / b, aim / a
            slopes[r, j], slopes[r, k] = slope * b, slope * a
        else
            aims[r, j], aims[r, k] = aim * b, a / aim
            slopes[r, j], slopes[r, k] = slope / b, slope * aim * aim / a
        end
    end
    return nothing
end

"""Weights, and weights times aims, of a place, into `wanted`; returns the rest of the loss, infinite where too little is known."""
function want!(foresight::Foresight, place::Place)
    (; values, aims, slopes, wanted, y, share) = foresight
    i, rest, known = place.node, 0.0, 0
    @inbounds for r in eachindex(y)
        aim, slope, value = aims[r, i], slopes[r, i], values[r, i]
        if place.form == ADD
            aim -= value
        elseif place.form == MULTIPLY
            aim, slope = aim / value, slope * value
        elseif place.form == DIVIDE_BY
            aim, slope = value / aim, slope * aim * aim / value
        end
        weight = slope * slope * share
        if weight == 0  # Whatever stands there, the error stays.
            wanted[r, 1] = wanted[r, 2] = 0.0
            rest += abs2(values[r, 1] - y[r]) * share
            known += 1
        elseif isfinite(weight) && isfinite(aim)
            wanted[r, 1], wanted[r, 2] = weight, weight * aim
            rest += weight * aim * aim
            known += 1
        else
            wanted[r, 1] = wanted[r, 2] = 0.0
        end
    end
    return known >= KNOWN_ROWS * length(y) && isfinite(rest) ? rest : Inf
end
