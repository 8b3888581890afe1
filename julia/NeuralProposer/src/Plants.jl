# What a step that looks ahead can put where: small trees, and the ways to join them.
#
# Owns `Plant`, `Form`, `Place`. Does not own their values (Foresight.jl) nor which is chosen (Changes.jl).

const MOST_PLANTS = 64
"""Plants are padded to full vectors of the machine."""
const PLANTS_PADDED = 16
padded(count::Int) = cld(count, PLANTS_PADDED) * PLANTS_PADDED

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

"""More nodes than any tree has."""
const FORBIDDEN = 1.0f6

"""Nodes that each plant takes, as it is and then times a constant that is fitted; a constant is always fitted."""
function nodes_needed(plants::Vector{Plant}, count::Int, has_times::Bool)
    needed = fill(FORBIDDEN, 2count)
    for (k, plant) in enumerate(plants)
        plant == CONSTANT_PLANT || (needed[k] = size_of(plant))
        has_times && (needed[count + k] = size_of(plant) + 2)
        plant == CONSTANT_PLANT && (needed[count + k] = 1.0f0)
    end
    return needed
end
