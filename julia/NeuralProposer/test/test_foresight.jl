# The step that looks ahead: what it tells is what making the change gives, and what its twin in Python tells.

using NeuralProposer:
    DIVIDE_BY, DRAW_FEATURES, FORESIGHT_WEIGHTS, Foresight, Form, KEPT_PLACES, OperatorTable, Place, REPLACE, change!,
    decode, draw_place, drawn_rows, look!, make!, multiply!, planted_tree, score!, take_rows!, tell!, want!
using Random: MersenneTwister
using SymbolicRegression: Node, OperatorEnum, eval_tree_array, string_tree
using TOML: TOML

const NATIVE = TOML.parsefile(joinpath(@__DIR__, "..", "..", "..", "tests", "golden", "native_v1.toml"))

near(found, expected, most) = all(abs.(found .- expected) .<= most)
native_table(names, arities) =
    OperatorTable(names, Int32.(arities), [count(<(degree), arities) for degree in 1:maximum(arities)])

@testset "$(entry["text"]) is seen as in Python" for entry in NATIVE["cases"]
    table = native_table(Vector{String}(entry["operators"]), entry["arities"])
    y = Float64.(entry["y"])
    X = permutedims(reshape(Float64.(entry["X"]), length(y), 2))
    foresight = Foresight(X, y, table, Float64.(NATIVE["weights"]))
    tree = decode(Node{Float64,2}, Int32.(entry["codes"]), Vector{Float64}(entry["constants"]), table, 2)
    seen = look!(foresight, tree, entry["limit"], 0)
    @test length(seen.codes) == length(entry["codes"])
    @test seen.loss ≈ entry["present"] rtol = 1e-6
    twin = [Place(node + 1, Form(form)) for (node, form) in zip(entry["nodes"], entry["forms"])]
    rng = MersenneTwister(0)
    drawn = [draw_place(rng, foresight, seen) for _ in 1:20_000]
    @test Set(drawn) ⊆ Set(twin)
    chances = exp.(Float64.(entry["draw_scores"]))
    found = [count(==(place), drawn) for place in twin] ./ length(drawn)
    @test near(found, chances ./ sum(chances), 0.02)
    count_plants = length(foresight.needed) ÷ 2
    shown = [1:length(foresight.plants); count_plants .+ (1:length(foresight.plants))]
    for (i, place) in enumerate(twin)
        tell!(foresight, seen, place, view(seen.factors, :, 1))
        score!(foresight, seen, place)
        @test near(foresight.decreases[shown], entry["decreases"][i], 3e-4)
        scores = entry["scores"][i]
        @test isfinite.(foresight.scores[shown]) == isfinite.(scores)
        @test near(filter(isfinite, foresight.scores[shown]), filter(isfinite, scores), 3e-3)
        @test all(==(-Inf32), foresight.scores[setdiff(eachindex(foresight.scores), shown)])
    end
end

@testset "rows are drawn without even steps, others in each iteration" begin
    @test drawn_rows(40, 16, 0) == NATIVE["rows"]
    @test drawn_rows(5, 5, 3) == 1:5
    @test all(seed -> allunique(drawn_rows(100, 16, seed)), 0:50)
    chosen = reduce(vcat, drawn_rows(50, 16, seed) for seed in 1:500)
    @test all(row -> 100 < count(==(row), chosen) < 220, 1:50)  # 160 of each are expected.
end

const OPERATORS = OperatorEnum(1 => (cos, exp), 2 => (+, -, *, /))
const TABLE = OperatorTable(OPERATORS.ops)

@testset "where the way up is affine the loss told is the child's" begin
    X, y = problem(Float64; rows=16)  # All are looked at.
    foresight = Foresight(X, y, TABLE, Float64[])
    leaf(i) = Node{Float64}(; feature=i)
    tree = (leaf(1) * (leaf(2) - leaf(1)) + leaf(3)) / leaf(2)
    spread = sum(abs2, y .- sum(y) / length(y))
    tried = 0
    seen = look!(foresight, tree, 30, 0)
    rng = MersenneTwister(0)
    for place in unique(draw_place(rng, foresight, seen) for _ in 1:2000)
        (place.form == DIVIDE_BY || place.node == 9) && continue  # Not affine in what is divided by.
        rest, products = want!(foresight, seen, place), copy(multiply!(foresight))
        for (k, plant) in enumerate(foresight.plants), fitted in (false, true)
            fitted || k > 1 || continue
            factor = fitted ? products[k, 2] / products[k, 1] : 1.0
            told = fitted ? rest - products[k, 2] * factor : rest - 2products[k, 2] + products[k, 1]
            child = make!(foresight, seen, copy(tree), place, planted_tree(foresight, typeof(tree), plant, fitted, factor))
            values, complete = eval_tree_array(child, X, OPERATORS)
            found = sum(abs2, values .- y) / spread
            complete && isfinite(told) || continue
            @test told ≈ found rtol = 1e-6 atol = 1e-9
            tried += 1
        end
    end
    @test tried > 500
end

@testset "a network that wants the loss to fall finds a law in a few steps; one without weights does not" begin
    X, _ = problem(Float32)
    y = @. 2.5f0 * X[1, :] * X[2, :] + cos(X[3, :])
    losses = map((20.0, 0.0)) do slope
        weights = zeros(FORESIGHT_WEIGHTS)
        weights[end - DRAW_FEATURES] = slope
        foresight, rng, tree = Foresight(X, y, TABLE, weights), MersenneTwister(1), Node{Float32}(; feature=1)
        lowest = Inf
        for _ in 1:30
            changed = change!(rng, foresight, copy(tree), 15)
            isnothing(changed) && continue
            @test length(changed) <= 15
            tree = changed
            seen = look!(foresight, tree, 15, 0)
            isnothing(seen) || (lowest = min(lowest, seen.loss))
        end
        lowest
    end
    @test losses[1] < 1e-6
    @test losses[2] > 1e-3
end

@testset "a member that comes again is looked at in more places, and no change is made twice" begin
    X, y = problem(Float64)
    foresight, rng = Foresight(X, y, TABLE, Float64[]), MersenneTwister(0)
    leaf(i) = Node{Float64}(; feature=i)
    tree = leaf(1) * leaf(2) + leaf(3)
    made = [string_tree(change!(rng, foresight, copy(tree), 15, 7), OPERATORS) for _ in 1:100]
    seen = look!(foresight, tree, 15, 7)
    @test length(seen.places) == KEPT_PLACES
    @test allunique(seen.places)
    @test length(unique(made)) > 95  # A change at another place may come to the same.
    take_rows!(foresight, X, y, 1)
    @test isempty(look!(foresight, tree, 15, 7).places)
    small = leaf(1)  # Everything that fits is used up: then nothing is made.
    tries = [change!(rng, foresight, copy(small), 1, 8) for _ in 1:20]
    @test count(!isnothing, tries) == size(X, 1) + 1
    @test look!(foresight, small, 1, 8) !== look!(foresight, tree, 15, 7)
end

@testset "what cannot be looked at is left to the engine" begin
    X, y = problem(Float64)
    power = OperatorTable(["^", "+"], Int32[2, 2], [0, 0])
    tree = decode(Node{Float64,2}, Int32[4, 1, 2], Float64[], power, 3)
    rng = MersenneTwister(0)
    @test isnothing(change!(rng, Foresight(X, y, power, Float64[]), tree, 15))
    foresight = Foresight(X, y, TABLE, Float64[])
    leaf = Node{Float64}(; feature=1)
    @test isnothing(change!(rng, foresight, Node{Float64}(; val=NaN), 15))
    large = foldl((a, _) -> a + leaf, 1:40; init=copy(leaf))
    @test isnothing(change!(rng, foresight, large, 100))
    for (rows, target) in ((1, [2.0]), (5, fill(1.0, 5)))  # One row; nothing to explain.
        found = change!(rng, Foresight(X[:, 1:rows], target, TABLE, Float64[]), copy(leaf), 5)
        @test isnothing(found) || length(found) <= 5
    end
    many = Foresight(rand(rng, 100, 40), rand(rng, 40), TABLE, Float64[])
    @test length(many.plants) == NeuralProposer.MOST_PLANTS
    @test_throws ArgumentError NeuralProposerPlugin(; foresight=[1.0])
    @test_throws ArgumentError NeuralProposerPlugin(; foresight_share=1.0)
end

@testset "the level foresight needs no server" begin
    plugin = NeuralProposerPlugin(; levels=["foresight"], session="foresight")
    plain = NeuralProposerPlugin(; levels=String[], session="plain")
    foreach(p -> search([p]; niterations=10, seed=1), (plugin, plain))
    told = report("foresight")
    tried = told["kinds"]["ForesightMutation"]
    share = tried[1] / sum(first, values(told["kinds"]))
    @test 0.5 * NeuralProposer.FORESIGHT_SHARE < share < 2 * NeuralProposer.FORESIGHT_SHARE
    @test tried[3] > 0
    @test told["calls"] == 0
    @test isempty(told["failures"])
    @test isempty(told["disabled"])
    @test !haskey(report("plain")["kinds"], "ForesightMutation")
end

@testset "a power is counted as what cannot be looked at" begin
    plugin = NeuralProposerPlugin(; levels=["foresight"], session="power")
    X, y = problem()
    options = Options(;
        operators=OperatorEnum(2 => (+, ^)), plugins=[plugin], populations=2, population_size=20,
        tournament_selection_n=6, ncycles_per_iteration=20, save_to_file=false,
    )
    search([plugin]; niterations=2, X, y, options)
    told = report("power")
    @test told["fallbacks"] > 0
    @test isempty(told["failures"])
end
