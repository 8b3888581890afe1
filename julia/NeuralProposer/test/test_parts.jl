using NeuralProposer:
    Child, Counters, CROSSOVER_KIND, Grammar, Handed, KINDS, Lineage, NeuralProposerPlugin, OperatorTable, Prior, Stock,
    add_branch, change_operator, change_variable, descends, draw, encode!, fault_of, insert_branch, kind_ratios,
    level_mask, level_names, mark!, parent_factors, random_tree, softened, take_child!, wire_index
using NeuralProposer: LINEAGE_LIMIT, KIND_RATIO_BOUND
using SymbolicRegression: SymbolicRegression, Dataset, Node, PopMember, count_nodes
using Random: Xoshiro

@testset "settings are checked" begin
    @test level_names(level_mask(["prior", "seed"])) == ["seed", "prior"]
    @test_throws ArgumentError NeuralProposerPlugin(; levels=["childs"])
    @test_throws ArgumentError NeuralProposerPlugin(; address="/tmp/x")
    @test_throws ArgumentError NeuralProposerPlugin(; max_overhead=0)
    @test_throws ArgumentError NeuralProposerPlugin(; temperature=-1)
    @test NeuralProposerPlugin().session != NeuralProposerPlugin().session
end

@testset "stock is first in, first out, and bounded" begin
    stock = Stock()
    @test take_child!(stock) === nothing
    children = [Child(Int32[i], Float64[], i == 3 ? CROSSOVER_KIND : 14, NaN) for i in 1:4]
    put!(stock, children)
    @test length(stock) == 4
    @test take_child!(stock; crossover=true).codes == [3]
    @test take_child!(stock; crossover=true) === nothing
    @test [take_child!(stock).codes[1] for _ in 1:3] == [1, 2, 4]
    put!(stock, repeat(children, 2000))
    @test length(stock) == NeuralProposer.STOCK_LIMIT
end

@testset "weights are bounded and survive nonsense" begin
    @test sum(softened([1.0, 3.0])) ≈ 1
    @test all(>(0), softened([0.0, 1.0]))
    @test softened([NaN, -1.0]) == [0.5, 0.5]
    @test kind_ratios([1.0, 1.0, 1e9]) ≈ [1 / KIND_RATIO_BOUND, 1 / KIND_RATIO_BOUND, 3.0]
    @test kind_ratios([NaN, 0.0]) === nothing
    factors = parent_factors([7, 8, 9], [0.0, 1.0, 5.0])
    @test factors[9] < factors[8] < factors[7]
    @test all(f -> 2 / 3 <= f <= 1.5, values(factors))
end

"""As a user of PySR writes them: functions below Main."""
module Own
safe_log(x) = log(abs(x) + 1)
end

@testset "a user's operator is not taken for the engine's, and names are distinct" begin
    engine = SymbolicRegression.safe_log
    @test OperatorTable(((engine, Own.safe_log), (+,))).names == ["log", "safe_log", "+"]
    @test OperatorTable(((engine, log), (+,))).names == ["log", "log_2", "+"]
end

@testset "a step that falls back weighs kinds as the engine does" begin
    plugin = NeuralProposerPlugin(; levels=["prior", "child"], address="unix:/nowhere")
    ours, plain = options_with([plugin]; default_plugins=()), options_with([]; default_plugins=())
    dataset = Dataset(problem()...)
    state = NeuralProposer.first_state(plugin, ours, dataset)
    @atomic state.live.search.prior = Prior(ones(6), ones(3), ones(8 * 7), 6)
    member = PopMember(dataset, Node{Float32,2}(Float32; feature=1), ours; deterministic=false)
    weights = NeuralProposer.ordinary_weights(member, ours, 20, 3, (state,))
    expected = Vector{Pair{Any,Float64}}(plain.mutations)
    SymbolicRegression.condition_mutation_weights!(expected, member, plain, 20, 3)
    found = Dict(typeof(kind) => weight for (kind, weight) in weights if !(kind isa NeuralProposer.OwnMutation))
    @test found == Dict(typeof(kind) => weight for (kind, weight) in expected)
    @test sum(weight for (kind, weight) in weights if kind isa NeuralProposer.OwnMutation) == 0
    @test state.counters.starved == 0
end

@testset "outputs of one fit share the model's time" begin
    plugin, other = NeuralProposerPlugin(), NeuralProposerPlugin()
    table = OperatorTable(((), (+,)))
    searches = [NeuralProposer.Search(900 + i, plugin, table, 1, i; home=true) for i in 1:3]
    foreach(NeuralProposer.register!, searches)
    alone = NeuralProposer.register!(NeuralProposer.Search(910, other, table, 1, 1; home=true))
    @test NeuralProposer.outputs_of(searches[2]) == 3
    @test NeuralProposer.outputs_of(alone) == 1
    budget = NeuralProposer.budget(searches[1])
    searches[1].outputs = 3
    @test NeuralProposer.budget(searches[1]) < budget / 2
    foreach(search -> search.finished = time(), searches[1:2])
    @test NeuralProposer.outputs_of(searches[3]) == 1
end

function encoded(tree, table, features)
    codes, constants = Int32[], Float64[]
    encode!(codes, constants, tree, table, features)
    return codes, constants
end

@testset "native edits give sound trees" begin
    rng, table, features = Xoshiro(1), OperatorTable(((cos, exp), (+, *))), 3
    prior = Prior(rand(rng, 4), rand(rng, 3), rand(rng, 6 * 5), 4)
    grammar = Grammar(prior, table, features, nothing)
    N = Node{Float32,2}
    for _ in 1:300
        limit = rand(rng, 1:15)
        tree = random_tree(rng, grammar, N, limit)
        @test count_nodes(tree) <= limit
        before = count_nodes(tree)
        @test count_nodes(change_variable(rng, grammar, copy(tree))) == before
        @test count_nodes(change_operator(rng, grammar, copy(tree))) == before
        for edit in (add_branch, insert_branch)
            edited = edit(rng, grammar, copy(tree))
            @test count_nodes(edited) in (before + 1, before + 2)
            @test fault_of(encoded(edited, table, features)..., table, features) === nothing
        end
    end
end

@testset "native edits follow the prior" begin
    rng, table = Xoshiro(2), OperatorTable(((cos,), (+, *)))
    pairs = zeros(5, 4)
    pairs[5, :] .= 1          # only the product, below anything,
    pairs[2, :] .= 0.5        # and variables as leaves
    prior = Prior([0.0, 0.0, 1.0], [0.0, 1.0], vec(pairs), 3)
    grammar = Grammar(prior, table, 2, nothing)
    trees = [random_tree(rng, grammar, Node{Float64,2}, 15) for _ in 1:400]
    nodes = [node for tree in trees for node in tree]
    operators = [wire_index(table, node.degree, node.op) for node in nodes if node.degree > 0]
    variables = [node.feature for node in nodes if node.degree == 0 && !node.constant]
    @test count(==(3), operators) / length(operators) > 0.8
    @test count(==(2), variables) / length(variables) > 0.9
end

@testset "draw respects zeros" begin
    rng = Xoshiro(3)
    @test draw(rng, _ -> 0.0, 1:3) == 0
    @test all(_ -> draw(rng, i -> i == 2 ? 1.0 : 0.0, 1:3) == 2, 1:50)
end

@testset "lineage is bounded and keeps the latest" begin
    lineage = Lineage()
    foreach(i -> mark!(lineage, i), 1:(2LINEAGE_LIMIT + 10))
    @test descends(lineage, 2LINEAGE_LIMIT + 10)
    @test !descends(lineage, 1)
    @test length(lineage.recent) + length(lineage.older) <= 2LINEAGE_LIMIT
end

@testset "a population's own children go first, then those for everyone" begin
    plugin = NeuralProposerPlugin(; levels=["child"])
    search = NeuralProposer.Search(1, plugin, OperatorTable(((), (+,))), 1, 1; home=true)
    live = NeuralProposer.Live(search, 3)
    put!(live.common, [Child(Int32[1], Float64[], 14, NaN)])
    put!(live.stock, [Child(Int32[2], Float64[], 14, NaN)])
    @test NeuralProposer.in_stock(live) == 2
    @test [take_child!(live).codes[1] for _ in 1:2] == [2, 1]
    @test take_child!(live) === nothing
    @test NeuralProposer.in_stock(NeuralProposer.Live()) == 0
end
