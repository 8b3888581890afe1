"""
A plugin for SymbolicRegression.jl's plugin interface (2.7) that asks a proposer server, usually a transformer in a
Python process, for mutation kinds, parents, crossovers and whole children during a search.

Construct a [`NeuralProposerPlugin`](@ref), pass it in `Options(; plugins=[...])`, and read [`report`](@ref) afterwards.
This package never calls Python: it talks to the server through a socket, from one task, and the search never waits for
it.
"""
module NeuralProposer

using DynamicExpressions: AbstractExpressionNode, get_child, has_constants, set_children!, with_type_parameters
using PrecompileTools: @compile_workload, @setup_workload
using Random: AbstractRNG, default_rng
using Serialization: Serialization
using Sockets: TCPSocket, connect
using SymbolicRegression: SymbolicRegression
using SymbolicRegression:
    AbstractCrossover,
    AbstractExpression,
    AbstractMutation,
    AbstractOptions,
    AbstractPlugin,
    AbstractPopMember,
    AddNodeMutation,
    ConstantMutation,
    CrossoverResult,
    DeleteNodeMutation,
    DoNothingMutation,
    Expression,
    FeatureMutation,
    InsertNodeMutation,
    MutationAcceptanceContext,
    MutationEvent,
    MutationResult,
    Node,
    NodeSampler,
    OperatorMutation,
    OptimizeMutation,
    PopMember,
    RandomizeMutation,
    RotateTreeMutation,
    SimplifyMutation,
    SubtreeCrossover,
    SwapOperandsMutation,
    check_constraints,
    compute_complexity,
    create_expression,
    crossover,
    crossover_trees,
    get_contents,
    get_tree,
    mutate!,
    optimize_constants,
    sample_value,
    set_node!,
    with_contents

export NeuralProposerPlugin, report

include("Frames.jl")
include("Operators.jl")
include("Codes.jl")
include("Inverses.jl")
include("Plants.jl")
include("Network.jl")
include("Foresight.jl")
include("Changes.jl")
include("Plugin.jl")
include("Probe.jl")
include("Counters.jl")
include("Lineage.jl")
include("Proposals.jl")
include("Searches.jl")
include("GivenData.jl")
include("Trace.jl")
include("State.jl")
include("Client.jl")
include("Requests.jl")
include("Answers.jl")
include("Sampling.jl")
include("Mutations.jl")
include("Crossover.jl")
include("Injection.jl")
include("Front.jl")
include("Recording.jl")
include("Hooks.jl")
include("SRInterface.jl")
include("Report.jl")
include("precompile.jl")

end
