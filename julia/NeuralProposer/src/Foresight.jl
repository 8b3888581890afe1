# Looking ahead inside a mutation step: what a node of a tree should be, so that the tree is right.
#
# Owns `Foresight` (rows of the data, small trees to plant, buffers), values of trees (`look!`) and wanted values of a
# place (`want!`). Does not own operators (Inverses.jl), small trees (Plants.jl), the choice of a change (Changes.jl), nor
# the network's training; the twin is pysr_neural/proposer/policy/native.py, and golden vectors tie both.
#
# Going down from the root, y is taken through the inverse of every operator and errors are weighed by its slope, so that
# the loss with values v in a place is a parabola: rest - 2 aims'v + weights'v^2. Where the way up is affine the loss told
# is exact; elsewhere it is exact where it is 0, and of first order beside that. All arrays are made once per population.

const FORESEEN_ROWS = 16
const FORESEEN_PLACES = 1
"""Nodes beyond which a tree is left to the engine's own kinds."""
const FORESEEN_NODES = 64
"""Share of the rows on which a place has to want something."""
const KNOWN_ROWS = 0.9
const LEAST_LOSS, MOST_LOSS = 1e-10, 1e10
const LARGEST_FITTED = 1e8
"""Trees that are kept, and places of each: a tournament draws the same few parents again and again."""
const KEPT_TREES, KEPT_PLACES = 8, 8

"""
A tree that was looked at, for changes of at most `limit` nodes: of each node in prefix order size, depth, values and chance
to be changed; of each place looked at so far how likely the plants are, and the factors that fit them best.
"""
mutable struct Seen
    ref::Int  # Of the member; 0: of none.
    limit::Int
    known::Bool
    loss::Float64
    const codes::Vector{Int32}
    const constants::Vector{Float64}
    const sizes::Vector{Int}
    const depths::Vector{Int}
    const values::Vector{Float64}  # Rows of the first node, then of the next.
    const chances::Vector{Float32}
    const places::Vector{Place}
    oldest::Int
    const sums::Vector{Float32}  # Of what is likely, by places.
    const likely::Matrix{Float32}  # Plants as they are, then fitted, by places.
    const factors::Matrix{Float64}  # Plants by places.
end
function Seen(rows::Int, plants::Int)
    nodes() = zeros(Int, FORESEEN_NODES)
    return Seen(
        0, 0, false, Inf, Int32[], Float64[], nodes(), nodes(), zeros(rows * FORESEEN_NODES), zeros(Float32, FORESEEN_NODES),
        Place[], 0, zeros(Float32, KEPT_PLACES), zeros(Float32, 2plants, KEPT_PLACES), zeros(plants, KEPT_PLACES),
    )
end

mutable struct Foresight
    const table::OperatorTable
    const opcodes::Vector{Opcode}
    const forms::Vector{Tuple{Form,Int}}  # With the operator's wire index.
    const times::Int
    const columns::Matrix{Float64}  # Rows by variables.
    const y::Vector{Float64}
    seed::Int  # Of the rows.
    share::Float64
    const plants::Vector{Plant}
    const planted::Matrix{Float64}  # Plants by rows; padded with plants that need more room than there is.
    const needed::Vector{Float32}  # Nodes of each plant, as it is and then fitted.
    const network::Network
    const kept::Vector{Seen}
    const new_places::Int  # That a step looks at: this bounds its price.
    const aims::Vector{Float64}  # Of one place, by rows, as the next three.
    const slopes::Vector{Float64}
    const weights::Vector{Float64}
    const pulls::Vector{Float64}  # Weights times aims.
    const products::Matrix{Float64}  # Of each plant with these: weights times its square, pulls times it.
    const decreases::Vector{Float32}  # Of plants as they are, then fitted.
    const scores::Vector{Float32}
end

"""Forethought for one population; `weights` of the network, or none: then all changes are equally likely."""
function Foresight(
    X::AbstractMatrix, y::AbstractVector, table::OperatorTable, weights::Vector{Float64};
    new_places::Int=FORESEEN_PLACES, seed::Integer=0,
)
    features, total = size(X)
    n = min(FORESEEN_ROWS, total)
    opcodes = [get(OPCODES, (name, Int(arity)), UNKNOWN) for (name, arity) in zip(table.names, table.arities)]
    index(opcode) = something(findfirst(==(opcode), opcodes), 0)
    forms = [(form, index(opcode)) for (form, opcode) in FORM_OPCODES if index(opcode) > 0]
    plants = plants_of(opcodes, table.arities, features)
    count = padded(length(plants))
    needed = nodes_needed(plants, count, index(TIMES) > 0)
    rows() = zeros(n)
    foresight = Foresight(
        table, opcodes, forms, index(TIMES), zeros(n, features), rows(), seed, 1.0, plants, fill(NaN, count, n), needed,
        Network(weights, plants, needed), [Seen(n, count) for _ in 1:KEPT_TREES], new_places, rows(), rows(), rows(), rows(),
        zeros(count, 2), zeros(Float32, 2count), zeros(Float32, 2count),
    )
    return take_rows!(foresight, X, y, seed)
end

"""Look at other rows from now on."""
function take_rows!(foresight::Foresight, X::AbstractMatrix, y::AbstractVector, seed::Integer)
    (; columns, planted, plants) = foresight
    n = length(foresight.y)
    for (r, row) in enumerate(drawn_rows(length(y), n, seed))
        foresight.y[r] = y[row]
        columns[r, :] .= view(X, :, row)
    end
    foresight.seed = seed
    middle = sum(foresight.y) / n
    foresight.share = 1 / max(sum(value -> abs2(value - middle), foresight.y), floatmin(Float32))
    values = zeros(3n)
    for (i, plant) in enumerate(plants)
        grow!(values, plant, foresight)
        planted[i, :] .= all(isfinite, view(values, 1:n)) ? view(values, 1:n) : NaN
    end
    foreach(seen -> seen.ref = 0, foresight.kept)
    return foresight
end

"""Different rows, drawn by Floyd's method with a generator that is easy to write in any language; in order."""
function drawn_rows(total::Int, count::Int, seed::Integer)
    state, rows = 2 * UInt64(seed) + 1, Int[]
    for most in (total - count + 1):total
        state = state * 0x5851f42d4c957f2d + 0x14057b7ef767814f
        row = 1 + Int((state >> 33) % most)
        push!(rows, row in rows ? most : row)
    end
    return sort!(rows)
end

"""Values of a plant, into the first of three columns."""
function grow!(values::Vector{Float64}, plant::Plant, foresight::Foresight)
    n = length(foresight.y)
    for (at, i) in ((n, plant.first), (2n, plant.second == 0 ? plant.first : plant.second))
        values[(at + 1):(at + n)] .= i < 0 ? 1.0 : view(foresight.columns, :, i)
    end
    plant.operator == 0 && return copyto!(values, 1, values, n + 1, n)
    return compute!(values, foresight.opcodes[plant.operator], 0, n, 2n, n)
end

"""
Look at a member's tree: what its nodes are. Members are known by their reference (0: a tree of no member), and a tree
never changes under it within an iteration. `nothing` where the tree is too large, has an operator that is not known
here, or no finite loss.
"""
function look!(foresight::Foresight, tree::AbstractExpressionNode, limit::Int, ref::Int)
    seen = foresight.kept[1 + (ref & (KEPT_TREES - 1))]
    if ref == 0 || seen.ref != ref || seen.limit != limit
        seen.ref, seen.limit, seen.oldest = ref, limit, 0
        empty!(seen.places)
        encode!(empty!(seen.codes), empty!(seen.constants), tree, foresight.table, size(foresight.columns, 2))
        seen.known = length(seen.codes) <= FORESEEN_NODES && look_up!(foresight, seen)
    end
    return seen.known ? seen : nothing
end

function look_up!(foresight::Foresight, seen::Seen)
    (; columns, y, opcodes, table) = foresight
    (; codes, sizes, depths, values) = seen
    n, features = size(columns)
    remaining = length(seen.constants)
    for i in reverse(eachindex(codes))
        code, to, sizes[i] = Int(codes[i]), (i - 1) * n, 1
        if code == 0
            fill!(view(values, (to + 1):(to + n)), seen.constants[remaining])
            remaining -= 1
        elseif code <= features
            copyto!(values, to + 1, columns, (code - 1) * n + 1, n)
        else
            opcodes[code - features] == UNKNOWN && return false
            sizes[i] += sizes[i + 1]
            second = i + 1
            if table.arities[code - features] == 2
                second += sizes[i + 1]
                sizes[i] += sizes[second]
            end
            compute!(values, opcodes[code - features], to, i * n, (second - 1) * n, n)
        end
    end
    loss = 0.0
    @inbounds @simd for r in 1:n
        loss += abs2(values[r] - y[r])
    end
    seen.loss = loss * foresight.share
    isfinite(seen.loss) || return false
    sink!(foresight, seen)
    weigh_nodes!(seen, foresight.network)
    return true
end

"""How deep the nodes are."""
function sink!(foresight::Foresight, seen::Seen)
    (; codes, sizes, depths) = seen
    features = size(foresight.columns, 2)
    depths[1] = 0
    @inbounds for i in eachindex(codes)
        codes[i] > features || continue
        depths[i + 1] = depths[i] + 1
        foresight.table.arities[codes[i] - features] == 2 && (depths[i + 1 + sizes[i + 1]] = depths[i] + 1)
    end
    return nothing
end

"""What a node should be, into `aims` and `slopes`: y, taken down the path to it."""
function look_down!(foresight::Foresight, seen::Seen, target::Int)
    (; aims, slopes, opcodes, table) = foresight
    (; codes, sizes, values) = seen
    n, features = size(foresight.columns)
    copyto!(aims, foresight.y)
    fill!(slopes, 1.0)
    i = 1
    while i != target
        operator, child = Int(codes[i]) - features, i + 1
        if table.arities[operator] == 1
            pull_one!(aims, slopes, values, opcodes[operator], (i - 1) * n, i * n)
        else
            second = child + sizes[child]
            first = target < second
            pull_two!(aims, slopes, values, opcodes[operator], first, (first ? second - 1 : i) * n)
            first || (child = second)
        end
        i = child
    end
    return nothing
end

"""What is joined to a node should be this, where the whole should be `aim` and the node is `value`."""
@inline joined(::Val{REPLACE}, aim, slope, value) = (aim, slope)
@inline joined(::Val{ADD}, aim, slope, value) = (aim - value, slope)
@inline joined(::Val{MULTIPLY}, aim, slope, value) = (aim / value, slope * value)
@inline joined(::Val{DIVIDE_BY}, aim, slope, value) = (value / aim, slope * aim * aim / value)

"""Weights, and weights times aims, of a place; returns the rest of the loss, infinite where too little is known."""
function want!(foresight::Foresight, seen::Seen, place::Place)
    look_down!(foresight, seen, place.node)
    place.form == REPLACE && return weigh!(foresight, seen, place.node, Val(REPLACE))
    place.form == ADD && return weigh!(foresight, seen, place.node, Val(ADD))
    place.form == MULTIPLY && return weigh!(foresight, seen, place.node, Val(MULTIPLY))
    return weigh!(foresight, seen, place.node, Val(DIVIDE_BY))
end

@inline function weigh!(foresight::Foresight, seen::Seen, node::Int, form::Val)
    (; aims, slopes, weights, pulls, y, share) = foresight
    values, at = seen.values, (node - 1) * length(y)
    rest = known = 0.0
    @inbounds @simd ivdep for r in eachindex(y)
        aim, slope = joined(form, aims[r], slopes[r], values[at + r])
        weight = slope * slope * share
        idle = weight == 0  # Whatever stands there, the error stays.
        wanted = !idle & isfinite(weight) & isfinite(aim)
        pull = weight * aim
        weights[r] = ifelse(wanted, weight, 0.0)
        pulls[r] = ifelse(wanted, pull, 0.0)
        rest += ifelse(wanted, pull * aim, ifelse(idle, abs2(values[r] - y[r]) * share, 0.0))
        known += ifelse(wanted | idle, 1.0, 0.0)
    end
    return known >= KNOWN_ROWS * length(y) && isfinite(rest) ? rest : Inf
end
