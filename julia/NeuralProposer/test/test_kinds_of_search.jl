# Searches unlike the usual one: they are helped, or recorded only with a reason.

reasons(plugin) = report(plugin.session)["disabled"]

@testset "unsupported searches are recorded only" begin
    plugin() = NeuralProposerPlugin(; levels=["child", "prior"], verbose=false)
    X, y = problem(Float64)
    complex_plugin = plugin()
    hall = search([complex_plugin]; X=complex.(X), y=complex.(y), niterations=2)
    @test any(hall.exists)
    @test contains(reasons(complex_plugin)["all"], "floating-point")
    template = plugin()
    structure = TemplateStructure{(:f, :g)}(((; f, g), (x1, x2, x3)) -> f(x1, x2) + g(x3))
    hall = search([template]; niterations=2, expression_spec=TemplateExpressionSpec(; structure))
    @test any(hall.exists)
    @test contains(reasons(template)["all"], "plain expressions")
end

@testset "what is unsupported is said" begin
    reason(X, y; kwargs...) = NeuralProposer.unsupported(options_with([]; kwargs...), SymbolicRegression.Dataset(X, y))
    X, y = problem(Float64)
    @test reason(X, y) === nothing
    @test contains(reason(X, y; node_type=GraphNode), "trees")
    @test contains(reason([1 2; 3 4], [1, 2]), "floating-point")
    @test contains(reason(X, fill(Inf, length(y))), "finite")
end

@testset "options that leave out plugin mutations switch their levels off" begin
    scripted_server(priors) do server
        plugin = plugin_for(server, ["child", "prior", "seed"])
        search([plugin]; niterations=2, default_mutations=[RandomizeMutation() => 1.0, DoNothingMutation() => 1.0])
        @test issubset(["child", "prior"], keys(reasons(plugin)))
    end
end

@testset "the same kind by hand in mutations= only falls back" begin
    hall = search([]; niterations=2, mutations=[NeuralProposer.NeuralMutation() => 1.0, NeuralProposer.NeuralAdd() => 1.0])
    @test any(hall.exists)
end

@testset "several outputs are searches of their own" begin
    X, y = problem()
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["child", "seed"])
        halls = search([plugin]; X, y=permutedims([y X[1, :] .* y]), niterations=6)
        told = report(plugin.session)
        @test length(halls) == 2
        @test length(told["outputs"]) == 2
        @test length(server.opened) == 2
        @test told["calls"] == sum(part["calls"] for part in told["outputs"])
        @test best_loss(halls[1]) < 1e-8
    end
end

@testset "nested constraints, one feature, batching and Float64" begin
    scripted_server((request, _) -> batch(request, fill(Int32[1], wanted_count(request)))) do server
        X, y = problem(Float64; rows=1500)
        plugin = plugin_for(server, ["seed", "child", "prior"])
        search(
            [plugin];
            X=X[1:1, :],
            y,
            niterations=2,
            nested_constraints=[cos => [cos => 0, exp => 1]],
            batching=true,
            batch_size=50,
        )
        opened = only(server.opened)
        @test opened.fields[:X].shape == [1500, 1]
        @test opened.fields[:nested].shape == [2, 3]
        @test Set(eachcol(reshape(values_of(opened, :nested, Int32), 3, :))) == Set([[0, 0, 0], [0, 1, 1]])
        @test isempty(report(plugin.session)["failures"])
    end
end

@testset "weights" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["seed"])
        search([plugin]; niterations=1, search_kwargs=(; weights=ones(Float32, 60)))
        @test contains(report(plugin.session)["disabled"]["weights"], "alike")
        plugin = plugin_for(server, ["seed"])
        search([plugin]; niterations=1)
        @test isempty(report(plugin.session)["disabled"])
    end
end

@testset "complexities and sizes of arguments" begin
    scripted_server((request, _) -> batch(request, fill(Int32[1], wanted_count(request)))) do server
        plugin = plugin_for(server, ["seed"])
        search(
            [plugin];
            niterations=1,
            constraints=Dict(1 => [cos => 5], 2 => [(/) => (-1, 3)]),
            complexity_of_constants=2,
            complexity_of_variables=[1, 2, 3],
            complexity_of_operators=[exp => 4],
        )
        search([plugin]; niterations=1)
        search([plugin]; niterations=1, constraints=Dict(1 => [cos => 5], 2 => nothing), complexity_mapping=tree -> 1)
        told, plain, own = server.opened
        triples(message) = Set(eachcol(reshape(values_of(message, :arguments, Int32), 3, :)))
        @test triples(told) == Set([[0, 0, 5], [5, 1, 3]])
        @test values_of(told, :complexities, Float64) == [2, 1, 2, 3, 1, 4, 1, 1, 1, 1]
        for message in (plain, own)
            @test isempty(triples(message))
            @test isempty(values_of(message, :complexities, Float64))
        end
        @test isempty(report(plugin.session)["failures"])
    end
end

@testset "answers may take what is left of the search" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["seed", "child"]; interval=1)
        search([plugin]; niterations=2, timeout_in_seconds=50.0)
        seconds = [scalar_of(request, :seconds, Float64) for request in server.requests]
        @test first(seconds) <= plugin.seed_timeout
        @test all(<=(50.0), seconds)
        empty!(server.requests)
        search([plugin]; niterations=2)
        @test all(request -> !(scalar_of(request, :seconds, Float64) > plugin.seed_timeout), server.requests)
    end
end

@testset "a slow answer does not outlast the limit of time" begin
    slow(request, open) = (sleep(4); solutions(request, open))
    scripted_server(slow) do server
        plugin = plugin_for(server, ["seed", "child"]; seed_timeout=5.0)
        started = time()
        search([plugin]; niterations=10^6, timeout_in_seconds=1.0)
        @test time() - started < 3
    end
end

@testset "more rows than are sent" begin
    scripted_server(solutions) do server
        X, y = problem(; rows=20_000)
        plugin = plugin_for(server, ["child"])
        search([plugin]; X, y, niterations=1, populations=1, ncycles_per_iteration=5)
        @test isempty(server.opened) || only(server.opened).fields[:X].shape == [NeuralProposer.ROWS_SENT, 3]
    end
end

@testset "warm start" begin
    scripted_server(solutions) do server
        plugin = plugin_for(server, ["seed", "child"])
        options = options_with([plugin])
        state = search([]; options, niterations=1, search_kwargs=(; return_state=true))
        hall = search([]; options, niterations=3, search_kwargs=(; saved_state=state))
        @test best_loss(hall) < 1e-8
    end
end
