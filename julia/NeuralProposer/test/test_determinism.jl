const REPRODUCIBLE = (; deterministic=true, seed=11)

@testset "recording only changes nothing" begin
    plain = search([]; REPRODUCIBLE...)
    plugin = NeuralProposerPlugin(; levels=String[])
    recorded = search([plugin]; REPRODUCIBLE...)
    @test fingerprint(plain) == fingerprint(recorded)
    told = report(plugin.session)
    @test sum(first, values(told["kinds"])) > 1000
    @test told["cycles"] > 0
    @test told["calls"] == told["served"] == 0
end

@testset "synchronous neural searches repeat" begin
    function answer(request, _)
        constant = Float64(scalar_of(request, :seed, Int64) % 7)
        children = [Int32[PLUS, X1, 0] => [constant] for _ in 1:wanted_count(request)]
        return batch(request, children; operator_weights=[1.0, 2, 3, 4, 5, 6], variable_weights=[1.0, 2, 3])
    end
    runs = map(1:2) do _
        scripted_server(answer) do server
            plugin = plugin_for(
                server, ["seed", "child", "prior", "refresh"]; synchronous=true, max_overhead=20.0
            )
            hall = search([plugin]; niterations=8, REPRODUCIBLE...)
            told = report(plugin.session)
            @test told["served"] > 0
            fingerprint(hall), length(server.requests), [scalar_of(r, :seed, Int64) for r in server.requests]
        end
    end
    @test runs[1] == runs[2]
    @test runs[1][2] > 1
end
