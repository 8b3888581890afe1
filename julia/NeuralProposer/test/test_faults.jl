# Whatever the server does, the search ends, and the report says why.

finishes(plugin; kwargs...) = (hall = search([plugin]; kwargs...); any(hall.exists))

@testset "no server" begin
    plugin = NeuralProposerPlugin(; address="unix:/nonexistent/socket", levels=["seed", "child"], verbose=false)
    @test finishes(plugin)
    told = report(plugin.session)
    @test told["served"] == 0
    @test told["fallbacks"] > 0
    @test told["skipped"]["circuit breaker open"] > 0
    @test !isempty(told["failures"])
end

@testset "one warning, not many" begin
    plugin = NeuralProposerPlugin(; address="unix:/nonexistent/other", levels=["child"], interval=1)
    @test_logs (:warn, r"does not answer") match_mode = :all search([plugin])
end

@testset "wrong token" begin
    scripted_server(solutions) do server
        plugin = NeuralProposerPlugin(; address=address(server), token="other", levels=["seed"], seed_timeout=30, verbose=false)
        @test finishes(plugin)
        @test any(contains("wrong token"), report(plugin.session)["failures"])
    end
end

"""A search that lasts long enough for some answers, whatever else the machine is doing."""
unhurried_loss(tree, dataset::Dataset{T,L}, options) where {T,L} = (sleep(0.0005); L(1))
const UNHURRIED = (; niterations=3, loss_function=unhurried_loss, should_optimize_constants=false)

@testset "server dies in mid-search" begin
    answered = Ref(0)
    dying(request, open) = (answered[] += 1) > 2 ? :close : solutions(request, open)
    scripted_server(dying) do server
        plugin = plugin_for(server, ["child"]; interval=1, refine=0.0)
        @test finishes(plugin; UNHURRIED...)
        told = report(plugin.session)
        @test told["answers"] == 2
        @test any(contains("closed the connection"), told["failures"])
    end
end

@testset "server is back: half-open retry" begin
    answered = Ref(0)
    stumbling(request, open) = (answered[] += 1) == 2 ? :close : solutions(request, open)
    scripted_server(stumbling) do server
        plugin = plugin_for(server, ["child"]; interval=1, refine=0.0)
        @test finishes(plugin; UNHURRIED...)
        @test report(plugin.session)["answers"] >= 2
        @test length(server.opened) == 2
    end
end

@testset "garbage instead of frames" begin
    for garbage in (rand(UInt8, 500), zeros(UInt8, 24), pack(frame(NeuralProposer.OPENED, 1; search=1, elapsed=0.0)))
        scripted_server((_, _) -> garbage) do server
            plugin = plugin_for(server, ["child"]; request_timeout=0.5)
            @test finishes(plugin; niterations=20)
            @test report(plugin.session)["served"] == 0
        end
    end
end

@testset "server hangs" begin
    scripted_server((_, _) -> :hang) do server
        plugin = plugin_for(server, ["seed", "child"]; request_timeout=0.3, seed_timeout=30)
        started = time()
        @test finishes(plugin)
        @test time() - started < 20
        @test any(contains("no answer"), report(plugin.session)["failures"])
    end
end

@testset "an answer that lay there while nothing could read it" begin
    path = joinpath(mktempdir(), "s")
    listener = listen(path)
    client = NeuralProposer.Client("unused", "secret")
    client.socket = connect(path)
    server = accept(listener)
    for number in 1:2  # The deadline of the first must not close the socket under the second.
        waiting = @async NeuralProposer.exchange!(client, frame(PING), 0.2)
        @test read_frame(server).request == number
        answer = pack(frame(PONG, number))
        ccall(:write, Cssize_t, (RawFD, Ptr{UInt8}, Csize_t), Base._fd(server), answer, length(answer))
        until = time() + 0.5
        while time() < until end  # As an engine does: no task of this thread gets its turn.
        @test fetch(waiting).type === PONG
    end
    sleep(2 * NeuralProposer.GRACE_SECONDS)
    @test isopen(client.socket)
    close(server)
    close(listener)
end

@testset "answers that contradict themselves" begin
    function contradicting(request, _)
        good = batch(request, [SOLUTION])
        good.fields[:lengths] = NeuralProposer.WireArray(Int32[99], [1])
        return good
    end
    scripted_server(contradicting) do server
        plugin = plugin_for(server, ["child"])
        @test finishes(plugin)
        @test report(plugin.session)["served"] == 0
    end
end

@testset "invalid children are counted by reason" begin
    bad = [Int32[PLUS, X1], Int32[99], Int32[X1, X2], Int32[0] => [Inf], Int32[]]
    huge = Int32[fill(COS, 60); X1]
    scripted_server((request, _) -> batch(request, [bad..., huge])) do server
        plugin = plugin_for(server, ["seed", "child"])
        @test finishes(plugin)
        told = report(plugin.session)
        @test told["served"] == 0
        for reason in ("decode: arity", "decode: unknown_code", "decode: not_finite", "decode: empty", "constraints: size")
            @test told["invalid"][reason] > 0
        end
    end
end

@testset "errors from the server open the breaker" begin
    refuse(request, _) = frame(ERROR, request.request; message="no thanks")
    scripted_server(refuse) do server
        plugin = plugin_for(server, ["child"]; interval=1)
        @test finishes(plugin; niterations=20)
        @test 1 <= length(server.requests) <= 12
        @test any(contains("no thanks"), report(plugin.session)["failures"])
    end
end

@testset "weights of the wrong size are ignored" begin
    wrong(request, _) = batch(
        request; kind_weights=[1.0], parent_weights=[1.0, 2.0], operator_weights=[1.0], variable_weights=[1.0]
    )
    scripted_server(wrong) do server
        plugin = plugin_for(server, ["kind", "parents", "prior"])
        @test finishes(plugin)
        told = report(plugin.session)
        @test told["invalid"]["answer: prior of another size"] > 0
        @test told["invalid"]["answer: parent weights of another length"] > 0
    end
end

@testset "an exception in a hook does not end the search" begin
    plugin = NeuralProposerPlugin(; levels=["child"], verbose=false)
    options = options_with([plugin])
    dataset = SymbolicRegression.Dataset(problem()...)
    state = SymbolicRegression.init_plugin_state(plugin, options, dataset)
    for _ in 1:30
        @test NeuralProposer.guarded(() -> error("boom"), state, "test", 42) == 42
    end
    @test NeuralProposer.records_only(state)
    told = report(plugin.session)
    @test any(contains("boom"), told["failures"])
    @test haskey(told["disabled"], "all")
    @test_throws InterruptException NeuralProposer.guarded(() -> throw(InterruptException()), state, "test", 0)
end
