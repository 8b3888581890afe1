# Tests of the plugin against the real engine, with a scripted server and no Python:
#
#     julia --project=<environment with SymbolicRegression> --threads 2 test/runtests.jl [name ...]

Base.find_package("NeuralProposer") === nothing && push!(LOAD_PATH, dirname(dirname(@__DIR__)))

using NeuralProposer
using NeuralProposer: NeuralProposerPlugin, report
using Test

include("scripted_server.jl")
include("searches.jl")
include("scripts.jl")

const FILES = ["wire", "parts", "foresight", "levels", "determinism", "recording", "faults", "kinds_of_search", "parallel"]

@testset "NeuralProposer" begin
    for name in FILES
        if isempty(ARGS) || name in ARGS
            @testset "$name" begin
                include("test_$name.jl")
            end
        end
    end
end
