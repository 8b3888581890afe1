using Distributed: addprocs, rmprocs, @everywhere

@testset "two threads" begin
    if Threads.nthreads() < 2
        @test_skip "needs julia --threads 2"
    else
        scripted_server(solutions) do server
            plugin = plugin_for(server, ["seed", "child", "prior", "crossover"])
            for _ in 1:3
                hall = search([plugin]; parallelism=:multithreading, niterations=30)
                @test best_loss(hall) < 1e-8
            end
            told = report(plugin.session)
            @test told["served"] > 0
            @test isempty(told["failures"])
        end
    end
end

@testset "two processes with their own connections" begin
    workers = addprocs(2; exeflags="--project=$(Base.active_project())")
    try
        @everywhere workers using SymbolicRegression, NeuralProposer
        scripted_server(solutions) do server
            plugin = plugin_for(server, ["seed", "child"])
            hall = search(
                [plugin];
                parallelism=:multiprocessing,
                niterations=60,
                ncycles_per_iteration=400,
                search_kwargs=(; procs=workers),
            )
            told = report(plugin.session)
            @test best_loss(hall) < 1e-8
            @test length(server.opened) >= 2
            @test told["seeded"] > 0
            @test told["served"] > 0
            @test told["neural_hall_of_fame"] >= 1
            @test sum(first, values(told["kinds"])) > 3 * 60 * 400
        end
        mktempdir() do folder
            plugin = NeuralProposerPlugin(; levels=String[], trace=folder, trace_rate=1.0)
            search(
                [plugin]; parallelism=:multiprocessing, niterations=4, search_kwargs=(; procs=workers, runtests=true)
            )
            iterations = Dict{Int,Vector{Int}}()
            for frame in Iterators.flatten(frames_of(folder))
                frame.type === TRACE || continue
                population = Int(scalar_of(frame, :population, Int32))
                push!(get!(iterations, population, Int[]), Int(scalar_of(frame, :iteration, Int32)))
            end
            @test haskey(iterations, -1)
            @test all(sort(iterations[population]) == 0:(length(iterations[population]) - 1) for population in 1:3)
            @test all(length(iterations[population]) >= 4 for population in 1:3)
        end
    finally
        rmprocs(workers)
    end
end
