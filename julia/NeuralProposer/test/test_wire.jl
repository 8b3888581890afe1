using NeuralProposer:
    Frame, FIELDS, MessageType, OperatorTable, WireArray, WireError, decode, encode!, fault_of, frame, pack, read_frame,
    REQUEST, CLOSE
using SymbolicRegression: Node, OperatorEnum, safe_log, safe_pow
using TOML: TOML

const GOLDEN = TOML.parsefile(joinpath(@__DIR__, "..", "..", "..", "tests", "golden", "wire_v1.toml"))

golden_table(entry) = OperatorTable(
    entry["operators"],
    Int32.(entry["arities"]),
    [count(<(degree), entry["arities"]) for degree in 1:maximum(entry["arities"])],
)

@testset "codes match the golden file" begin
    for entry in GOLDEN["codes"]
        table, features = golden_table(entry), entry["features"]
        codes, constants = Vector{Int32}(entry["codes"]), Vector{Float64}(entry["constants"])
        @test fault_of(codes, constants, table, features) === nothing
        tree = decode(Node{Float64,2}, codes, constants, table, features)
        again, values = Int32[], Float64[]
        encode!(again, values, tree, table, features)
        @test again == codes
        @test values == constants
    end
end

@testset "codes that are no expression are told apart" begin
    table = OperatorTable(["cos", "+"], Int32[1, 2], [0, 1])
    fault(codes, constants=Float64[]) = fault_of(Int32.(codes), constants, table, 2)
    @test fault([4, 1, 2]) === nothing
    @test fault(Int[]) === :empty
    @test fault([5]) === :unknown_code
    @test fault([-1]) === :unknown_code
    @test fault([4, 1]) === :arity
    @test fault([1, 1]) === :arity
    @test fault([0]) === :constants
    @test fault([1], [1.0]) === :constants
    @test fault([0], [NaN]) === :not_finite
end

@testset "frames match the golden file" begin
    for entry in GOLDEN["frames"]
        bytes = hex2bytes(entry["hex"])
        message = read_frame(IOBuffer(bytes))
        @test string(message.type) == entry["type"]
        @test message.request == entry["request"]
        for field in get(entry, "fields", [])
            array = message.fields[Symbol(field["name"])]
            @test array.shape == field["shape"]
            @test isequal(Float64.(array.values), Float64.(field["values"]))
        end
        @test pack(message) == bytes
    end
end

@testset "bytes that are no frame are refused" begin
    bytes = pack(frame(CLOSE, 1; search=3))
    @test read_frame(IOBuffer(UInt8[])) === nothing
    for cut in 1:(length(bytes) - 1)
        @test_throws WireError read_frame(IOBuffer(bytes[1:cut]))
    end
    for at in (1, 5, 7, 17, 25, 26, 27)
        broken = copy(bytes)
        broken[at] = 0xee
        @test_throws WireError read_frame(IOBuffer(broken))
    end
    @test_throws WireError frame(CLOSE, 1)
    @test_throws WireError frame(CLOSE, 1; search=1, more=2)
end

@testset "operators carry the names that Python knows" begin
    @test OperatorTable(((-, safe_log, cos), (+, safe_pow))).names == ["neg", "log", "cos", "+", "^"]
    @test OperatorTable(((), (+, max))).arities == Int32[2, 2]
end
