# Each level alone against the real engine.

"""Requests carry members whose lengths, codes and constants fit together."""
function sound(request)
    lengths, codes = values_of(request, :lengths, Int32), values_of(request, :codes, Int32)
    return sum(lengths; init=0) == length(codes) &&
           count(==(0), codes) == length(values_of(request, :constants, Float64)) &&
           length(lengths) == length(values_of(request, :losses, Float64))
end

# Compile the scripted server before anything is timed against it.
scripted_server(server -> search([plugin_for(server, ["seed", "child"])]; niterations=20), solutions)

@testset "child: proposals end up in the hall of fame" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["child"])
        # Without crossovers, since the engine does not tell their second parent, and the answer may come by it.
        hall = search([plugin]; niterations=60, crossover_probability=0.0)
        told = report(plugin.session)
        @test best_loss(hall) < 1e-8
        @test told["calls"] > 0
        @test told["served"] > 0
        @test told["accepted"] > 0
        @test told["improved"] > 0
        @test told["neural_hall_of_fame"] >= 1
        at = findfirst(==(length(SOLUTION)), only(told["hall_of_fame_complexities"]))
        @test only(told["hall_of_fame_neural"])[at]
        @test told["kinds"]["NeuralMutation"][1] >= told["served"]
        @test isempty(told["disabled"])
        @test isempty(told["failures"])
        @test all(sound, server.requests)
        @test length(server.opened) == 1
        @test timedwait(() -> server.closed == 1, 5) === :ok
    end
end

@testset "seed: initial members come from the server" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["seed"])
        hall = search([plugin]; niterations=1, seed=1)
        told = report(plugin.session)
        @test best_loss(hall) < 1e-8
        @test told["seeded"] > 0
        @test told["neural_hall_of_fame"] >= 1
        @test length(server.requests) == 1
    end
end

@testset "seed: an answer that no initial member drew comes in later" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["seed"]; seed_share=0.0)
        hall = search([plugin]; niterations=8, seed=1)
        told = report(plugin.session)
        @test told["seeded"] == 0
        @test told["injected"] > 0
        @test best_loss(hall) < 1e-8
    end
end

@testset "seed: where losses may be negative nothing is an answer, and proposals enter late" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["seed"])
        negative(prediction, target) = abs2(prediction - target) - 1000.0
        search([plugin]; niterations=20, seed=1, elementwise_loss=negative, loss_scale=:linear)
        told = report(plugin.session)
        @test told["seeded"] == 0
        @test told["injected"] > 0
    end
end

@testset "seed: what is only close is no initial member, and enters at the end" begin
    wrong = copy(SOLUTION)
    wrong[findlast(==(X1), wrong)] = X2
    close(request, _) = batch(request, fill(wrong, wanted_count(request)))
    scripted_server(close) do server
        plugin = plugin_for(server, ["seed"])
        search([plugin]; niterations=1, seed=1, populations=2)
        told = report(plugin.session)
        @test told["seeded"] == 0
        @test told["injected"] > 0
        @test told["neural_hall_of_fame"] >= 1
    end
    noisy(request, _) = batch(request, fill(wrong, wanted_count(request)); leave_noise=true)
    scripted_server(noisy) do server  # It is an answer if that is all that can be explained.
        plugin = plugin_for(server, ["seed"])
        search([plugin]; niterations=1, seed=1, populations=2)
        @test report(plugin.session)["seeded"] > 0
    end
end

@testset "an answer that the user's condition accepts ends the search before the engine looks" begin
    condition(loss, size) = loss < 1e-6
    silent_first(request, open) =
        length(values_of(request, :lengths, Int32)) == 0 ? batch(request, Vector{Int32}[]) : solutions(request, open)
    for (levels, answers, populations) in ((["seed"], solutions, 3), (["seed", "refresh"], silent_first, 100))
        scripted_server(answers) do server
            plugin = plugin_for(server, levels)
            hall = search(
                [plugin];
                niterations=1000,
                populations,
                early_stop_condition=condition,
                search_kwargs=(; external_stop=SymbolicRegression.ExternalStop()),
            )
            told = report(plugin.session)
            @test best_loss(hall) < 1e-6
            @test told["cycles"] < populations * 60  # Less than one iteration of every population.
        end
    end
end

@testset "before a search that leaves no core the server is asked until its head start is used up" begin
    nothing_yet(request, _) = batch(request, Vector{Int32}[])
    scripted_server(nothing_yet) do server  # Compiles: a busy machine takes long for that.
        plugin = plugin_for(server, ["seed", "refresh"]; max_overhead="auto", cores=1)
        search([plugin]; niterations=1, populations=1, ncycles_per_iteration=1, timeout_in_seconds=5)
    end
    all_there_is(request, _) = batch(request, Vector{Int32}[]; explained=true)
    for (levels, cores, script, several) in (
        (["seed", "refresh"], 1, nothing_yet, true),
        (["seed"], 1, nothing_yet, false),
        (["seed", "refresh"], 64, nothing_yet, false),
        (["seed", "refresh"], 1, all_there_is, false),
    )
        scripted_server(script) do server
            plugin = plugin_for(server, levels; max_overhead="auto", cores)
            began = time()
            search([plugin]; niterations=1, populations=1, ncycles_per_iteration=1, timeout_in_seconds=5)
            @test (length(server.requests) > 2) == several
            @test time() - began < 4
        end
    end
end

@testset "given data are sent where the engine's are those rounded" begin
    X, y = problem(Float64)
    rounded = SymbolicRegression.Dataset(Float32.(X), Float32.(y))
    plugin = NeuralProposerPlugin(; address="unix:/nowhere")
    found = NeuralProposer.Search(4, plugin, NeuralProposer.OperatorTable(options_with([]).operators.ops), FEATURES, 1; home=true)
    exact() = NeuralProposer.exact_data(found, rounded, 2:9)
    engines = Float64.(rounded.X[:, 2:9]), Float64.(rounded.y[2:9])
    @test exact() == engines
    NeuralProposer.keep_data(plugin.session, X, reshape(y, 1, :))
    @test exact() == (X[:, 2:9], y[2:9])
    for other in ((2X, y), (X, 2y), (X[:, 1:20], y[1:20]))  # Other data than the search's.
        NeuralProposer.keep_data(plugin.session, first(other), reshape(last(other), 1, :))
        @test exact() == engines
    end
    NeuralProposer.keep_data(plugin.session, X, reshape(y, 1, :))
    NeuralProposer.forget_data(plugin.session)
    @test exact() == engines
end

@testset "front: only an answer enters before the search is late" begin
    X, y = problem()
    plugin = NeuralProposerPlugin(; address="unix:/nowhere")
    options = options_with([plugin])
    dataset = SymbolicRegression.Dataset(X, y)
    SymbolicRegression.update_baseline_loss!(dataset, options)
    hall = SymbolicRegression.HallOfFame(options, dataset)
    table = NeuralProposer.OperatorTable(options.operators.ops)
    found = NeuralProposer.Search(1, plugin, table, FEATURES, 1; home=true)
    state = NeuralProposer.ProposerState(1, 1, 0, 1.0, NeuralProposer.Positions(options), 9, NeuralProposer.Levels(1))
    child(codes) = NeuralProposer.Child(codes, Float64[], 14, NaN)
    offer(codes) = NeuralProposer.offer!(state, found, child(codes), dataset, options, options.maxsize)
    let_in(all_of_it) = NeuralProposer.let_in!(found, hall, dataset, options; all_of_it)
    @test !isnothing(offer(NEARLY))
    @test isnothing(offer(NEARLY))  # Known by now.
    let_in(false)
    @test !any(hall.exists)
    @test !isnothing(offer(SOLUTION))
    let_in(false)
    @test findall(hall.exists) == [length(SOLUTION)]
    let_in(true)
    @test findall(hall.exists) == [length(NEARLY), length(SOLUTION)]
    @test found.tally.injected == 2
    @test found.best_loss < 1e-8
    empty!(found.front)
    fill!(hall.exists, false)
    @test !(@atomic found.explained)
    noise = NeuralProposer.Child(NEARLY, Float64[], 14, NaN, NeuralProposer.ONLY_NOISE)
    @test !isnothing(NeuralProposer.offer!(state, found, noise, dataset, options, options.maxsize))
    let_in(false)
    @test findall(hall.exists) == [length(NEARLY)]
    @test (@atomic found.explained)
end

@testset "front: what is exact but for the engine's rounding is an answer, and ends the search as it would in more digits" begin
    X, y = problem()
    off = vcat(PLUS, SOLUTION, Int32(0))  # By 0.003, as if that were rounding.
    function offered(leaves; condition=(loss, size) -> loss < 1e-9, kwargs...)
        options = options_with([]; early_stop_condition=condition, kwargs...)
        dataset = SymbolicRegression.Dataset(X, y)
        SymbolicRegression.update_baseline_loss!(dataset, options)
        table = NeuralProposer.OperatorTable(options.operators.ops)
        plugin = NeuralProposerPlugin(; address="unix:/nowhere")
        found = NeuralProposer.Search(6, plugin, table, FEATURES, 1; home=true)
        found.stop = SymbolicRegression.ExternalStop()
        state = NeuralProposer.ProposerState(6, 1, 0, 1.0, NeuralProposer.Positions(options), 9, NeuralProposer.Levels(1))
        child = NeuralProposer.Child(off, [0.003], 14, NaN, leaves)
        member = NeuralProposer.offer!(state, found, child, dataset, options, options.maxsize)
        answer = NeuralProposer.is_answer(found, member, NeuralProposer.exact_loss(found, dataset, options))
        return Float64(member.loss), answer, found.answered, found.stop.requested[]
    end
    loss, told... = offered(NeuralProposer.NOTHING)
    @test loss ≈ 9e-6 rtol = 0.01  # The constant is not fitted to the rounding.
    @test told == (true, true, true)
    @test first(offered(NeuralProposer.SOMETHING)) < 9e-7
    @test !last(offered(NeuralProposer.NOTHING; condition=(loss, size) -> loss < 1e-20))
    @test !last(offered(NeuralProposer.NOTHING; condition=nothing))
    @test !last(offered(NeuralProposer.NOTHING; elementwise_loss=(prediction, target) -> abs2(prediction - target)))
end

@testset "front: near misses of data far from 0 are no answers" begin
    X, y = problem()
    options = options_with([])
    plugin = NeuralProposerPlugin(; address="unix:/nowhere")
    exact(y) = begin
        dataset = SymbolicRegression.Dataset(X, y)
        SymbolicRegression.update_baseline_loss!(dataset, options)
        table = NeuralProposer.OperatorTable(options.operators.ops)
        found = NeuralProposer.Search(8, plugin, table, FEATURES, 1; home=true)
        NeuralProposer.exact_loss(found, dataset, options)
    end
    variance = sum(abs2, y .- sum(y) / length(y)) / length(y)
    @test exact(y) ≈ NeuralProposer.EXACT * variance rtol = 1e-3
    @test exact(y .+ 1000) ≈ exact(y) rtol = 1e-3
end

"""Options without help, and a function that makes populations of five members."""
function populations_of_five()
    X, y = problem()
    options = options_with([])
    dataset = SymbolicRegression.Dataset(X, y)
    SymbolicRegression.update_baseline_loss!(dataset, options)
    plugin_states = SymbolicRegression.init_plugin_states(options, dataset)
    fresh() = SymbolicRegression.Population(dataset; population_size=5, options, nfeatures=FEATURES, plugin_states)
    return options, fresh
end

@testset "lineage: a seed in the hall of fame is one, also where its population never held it after a cycle" begin
    options, fresh = populations_of_five()
    plugin = NeuralProposerPlugin(; address="unix:/nowhere", token="seeds")
    search = NeuralProposer.Search(8, plugin, NeuralProposer.OperatorTable(options.operators.ops), FEATURES, 1; home=true)
    pop = fresh()
    hall, size = (members=pop.members[1:1], exists=[true]), 1
    NeuralProposer.flag_hall!(search, hall)
    @test !last(search.hall_of_fame[size])
    push!(search.seeds, NeuralProposer.written(pop.members[1], search))
    NeuralProposer.flag_hall!(search, hall)
    @test last(search.hall_of_fame[size])
end

@testset "lineage: descendants are followed through an iteration, in populations that hold some" begin
    options, fresh = populations_of_five()
    state = NeuralProposer.ProposerState(9, 1, 0, 1.0, NeuralProposer.Positions(options), 9, NeuralProposer.Levels(1))
    lineage, pop, number = NeuralProposer.Lineage(), fresh(), Ref(1000)
    follow(first_cycle) = NeuralProposer.follow_population!(state, lineage, pop, first_cycle)
    function replace!(at, parent)
        child = copy(pop.members[at])
        child.ref, child.parent = (number[] += 1), parent
        child.birth = 1 + maximum(member -> member.birth, pop.members)
        return pop.members[at] = child
    end
    descends(at) = NeuralProposer.descends(lineage, pop.members[at].ref)
    follow(true)
    @test !state.followed
    NeuralProposer.mark!(lineage, 1000)
    replace!(1, 1000)  # By migration, which is not within an iteration.
    follow(true)
    @test state.followed && descends(1) && !descends(2)
    replace!(2, pop.members[1].ref)
    follow(false)
    @test descends(2) && !descends(3)
    pop = fresh()
    follow(true)
    @test !state.followed
    handed = replace!(3, pop.members[4].ref)
    push!(state.handed, NeuralProposer.Handed(SymbolicRegression.get_tree(handed.tree), handed.parent, NaN))
    follow(false)
    @test state.followed && descends(3) && !descends(4) && isempty(state.handed)
    replace!(4, handed.ref)
    follow(false)
    @test descends(4)
end

@testset "where engine and proposer share a core, the client waits in the engine's thread, and other people's time is not counted" begin
    plugin = NeuralProposerPlugin(; address="unix:/nowhere", token="beside")
    found = NeuralProposer.Search(7, plugin, NeuralProposer.OperatorTable(options_with([]).operators.ops), 1, 1; home=true)
    @test !NeuralProposer.is_beside(found)
    found.head = :serial
    @test NeuralProposer.is_beside(found)
    before, began = NeuralProposer.elapsed(found, 0.0), time()
    sleep(0.5)
    @test NeuralProposer.elapsed(found, 0.0) - before < 0.4
    @test NeuralProposer.elapsed(found, 1e9) >= time() - began  # Never more than the clock says.
    @test NeuralProposer.elapsed(found, 1e9) < 1e6
    client = NeuralProposer.Client("unix:/nowhere", "beside")
    task = NeuralProposer.start!(client; here=NeuralProposer.is_beside(found))
    @test task.sticky
    @test isnothing(NeuralProposer.start!(client; here=true))
    NeuralProposer.submit!(client, NeuralProposer.Job(:idle, nothing))
    wait(task)
    @test !client.running
    found.spare = true
    before = NeuralProposer.elapsed(found, 0.0)
    sleep(0.1)
    @test NeuralProposer.elapsed(found, 0.0) - before >= 0.1
    task = NeuralProposer.start!(client; here=NeuralProposer.is_beside(found))
    @test !task.sticky
    NeuralProposer.submit!(client, NeuralProposer.Job(:idle, nothing))
    wait(task)
end

@testset "front: the share of time is what was earned" begin
    plugin = NeuralProposerPlugin(; address="unix:/nowhere")
    found = NeuralProposer.Search(2, plugin, NeuralProposer.OperatorTable(options_with([]).operators.ops), 1, 1; home=true)
    @test NeuralProposer.allowed_share(found) == NeuralProposer.PAYING
    found.tally.model_seconds = NeuralProposer.PATIENCE + 1
    @test NeuralProposer.allowed_share(found) == NeuralProposer.IDLE
    NeuralProposer.note_gain!(found, 0.5)
    @test NeuralProposer.allowed_share(found) == NeuralProposer.PAYING
    found.tally.model_seconds += NeuralProposer.PATIENCE
    NeuralProposer.note_gain!(found, 0.5)  # No lower than before.
    @test NeuralProposer.allowed_share(found) == NeuralProposer.IDLE
    found.spent_at_gain = found.tally.model_seconds
    @atomic found.explained = true
    @test NeuralProposer.allowed_share(found) == NeuralProposer.IDLE
    @atomic found.explained = false
    found.spent_at_gain = 0.0
    found.spare = true
    @test NeuralProposer.allowed_share(found) == NeuralProposer.IDLE_SPARE
    found.spent_at_gain = found.tally.model_seconds
    @test NeuralProposer.allowed_share(found) == NeuralProposer.PAYING_SPARE
    two = NeuralProposerPlugin(; address="unix:/nowhere", cores=2)
    one = NeuralProposerPlugin(; address="unix:/nowhere", cores=1)
    threads = Threads.nthreads()
    @test NeuralProposer.leaves_core(two, (; parallelism=:serial, numprocs=0))
    @test !NeuralProposer.leaves_core(one, (; parallelism=:serial, numprocs=0))
    @test NeuralProposer.leaves_core(two, (; parallelism=:multithreading, numprocs=0)) == (threads < 2)
    @test !NeuralProposer.leaves_core(two, (; parallelism=:multiprocessing, numprocs=2))
    hard = NeuralProposerPlugin(; address="unix:/nowhere", max_overhead=0.3)
    @test NeuralProposer.allowed_share(NeuralProposer.Search(3, hard, found.table, 1, 1; home=true)) == 0.3
end

@testset "prior: native kinds replace a share of the engine's" begin
    scripted_server(priors) do server
        plugin = plugin_for(server, ["prior"])
        search([plugin]; niterations=10)
        told = report(plugin.session)
        @test told["kinds"]["NeuralAdd"][1] > 50
        @test told["kinds"]["NeuralOperator"][1] > 0
        @test told["kinds"]["AddNodeMutation"][1] > 50
        @test told["children"] == 0
    end
end

@testset "kind: predicted kinds shift the mutation mix" begin
    weights = fill(0.1, length(KINDS))
    weights[findfirst(==(:do_nothing), KINDS)] = 50.0
    counts = map((weights, ones(length(KINDS)))) do told
        scripted_server((request, _) -> batch(request; kind_weights=told)) do server
            plugin = plugin_for(server, ["kind"])
            search([plugin]; niterations=10, seed=3, default_plugins=())
            kinds = report(plugin.session)["kinds"]
            kinds["DoNothingMutation"][1] / sum(first, values(kinds))
        end
    end
    @test counts[1] > 2 * counts[2]
end

@testset "parents: preferred members win more tournaments" begin
    prefer(request, _) = batch(request; parent_weights=collect(1.0:length(values_of(request, :lengths, Int32))))
    scripted_server(prefer) do server
        plugin = plugin_for(server, ["parents"])
        search([plugin])
        told = report(plugin.session)
        @test told["calls"] > 0
        @test isempty(told["invalid"])
        @test isempty(told["failures"])
    end
end

@testset "crossover: recombinations are served, and recombination becomes more frequent" begin
    recombine(request, _) =
        batch(request, fill(SOLUTION, wanted_count(request)); kind=:crossover, crossover_probability=0.6)
    scripted_server(recombine) do server
        plugin = plugin_for(server, ["crossover"])
        hall = search([plugin]; niterations=10)
        told = report(plugin.session)
        @test told["crossovers"] > 0
        @test told["kinds"]["NeuralMating"][1] > 20
        @test best_loss(hall) < 1e-8
        @test told["neural_hall_of_fame"] >= 1
    end
end

@testset "refresh: a search is helped all through" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["refresh"])
        hall = search([plugin]; niterations=40, seed=5)
        told = report(plugin.session)
        @test told["injected"] > 0
        @test best_loss(hall) < 1e-8
        @test told["neural_hall_of_fame"] >= 1
    end
end

@testset "all levels together" begin
    everything(request, _) = batch(
        request,
        fill(SOLUTION, wanted_count(request));
        kind_weights=ones(length(KINDS)),
        crossover_probability=0.3,
        parent_weights=ones(length(values_of(request, :lengths, Int32))),
        operator_weights=ones(6),
        variable_weights=ones(3),
        pair_weights=ones(8, 7),
    )
    scripted_server(everything) do server
        plugin = plugin_for(server, collect(NeuralProposer.LEVELS))
        hall = search([plugin]; niterations=10)
        told = report(plugin.session)
        @test best_loss(hall) < 1e-8
        @test isempty(told["failures"])
        @test isempty(told["disabled"])
    end
end
