# Binary frames between the engine and the proposer server: the twin of pysr_neural/wire/frames.py.
#
# Owns framing, the field lists of all messages, and their limits. Does not own sockets (Client.jl) or meaning
# (Requests.jl, Answers.jl).

const MAGIC = b"NPW1"
const FRAME_VERSION = 0x0003
const HEADER_BYTES = 24
const MAX_PAYLOAD = 1 << 28
const MAX_DIMENSIONS = 4

"""What a frame asks or answers."""
@enum MessageType::UInt16 begin
    HELLO = 1
    WELCOME = 2
    OPEN = 3
    OPENED = 4
    REQUEST = 5
    BATCH = 6
    PING = 7
    PONG = 8
    CLOSE = 9
    ERROR = 10
    SHUTDOWN = 11
    TRACE = 12
end

const FIELDS = Dict{MessageType,Vector{Pair{Symbol,DataType}}}(
    HELLO => [:token => UInt8],
    WELCOME => [:server => UInt8, :kinds => UInt8],
    OPEN => [
        :search => Int64,
        :X => Float64,
        :y => Float64,
        :operator_names => UInt8,
        :operator_arities => Int32,
        :limits => Int32,
        :nested => Int32,
        :arguments => Int32,
        :complexities => Float64,
    ],
    OPENED => [:search => Int64, :elapsed => Float64],
    REQUEST => [
        :search => Int64,
        :seed => Int64,
        :count => Int32,
        :levels => Int32,
        :temperature => Float64,
        :max_size => Int32,
        :progress => Float64,
        :lengths => Int32,
        :codes => Int32,
        :constants => Float64,
        :losses => Float64,
        :complexities => Int32,
        :seconds => Float64,
    ],
    BATCH => [
        :search => Int64,
        :lengths => Int32,
        :codes => Int32,
        :constants => Float64,
        :kinds => Int32,
        :parents => Int32,
        :log_probabilities => Float64,
        :leave_noise => Int32,
        :explained => Int32,
        :kind_weights => Float64,
        :crossover_probability => Float64,
        :parent_weights => Float64,
        :operator_weights => Float64,
        :variable_weights => Float64,
        :pair_weights => Float64,
        :elapsed => Float64,
    ],
    PING => [],
    PONG => [],
    CLOSE => [:search => Int64],
    ERROR => [:message => UInt8],
    SHUTDOWN => [],
    TRACE => [
        :search => Int64,
        :output => Int32,
        :population => Int32,
        :iteration => Int32,
        :member_moments => Int32,
        :member_refs => Int64,
        :member_parents => Int64,
        :member_births => Int64,
        :member_losses => Float64,
        :member_costs => Float64,
        :member_lengths => Int32,
        :member_codes => Int32,
        :member_constants => Float64,
        :event_cycles => Int32,
        :event_kinds => Int32,
        :event_parents => Int64,
        :event_refs => Int64,
        :event_losses => Float64,
        :event_costs => Float64,
        :event_outcomes => Int32,
        :event_neural => Int32,
        :event_lengths => Int32,
        :event_codes => Int32,
        :event_constants => Float64,
        :death_cycles => Int32,
        :death_refs => Int64,
    ],
)

const DTYPE_CODES = Dict{DataType,UInt8}(
    UInt8 => 1, Int32 => 2, Int64 => 3, Float64 => 4, Float32 => 5
)
const WireVector = Union{Vector{UInt8},Vector{Int32},Vector{Int64},Vector{Float64},Vector{Float32}}

"""The other side sent bytes that are no frame, or a frame that says nonsense."""
struct WireError <: Exception
    message::String
end
Base.showerror(io::IO, error::WireError) = print(io, error.message)

"""
One field: flat values and the shape as the wire has it (row-major). A Julia matrix travels with its dimensions
reversed, since its memory order is the row-major order of its transpose.
"""
struct WireArray
    values::WireVector
    shape::Vector{Int}
end

"""One message; `request` is its number, and an answer carries the number of what it answers."""
struct Frame
    type::MessageType
    request::UInt64
    fields::Dict{Symbol,WireArray}
end

"""
    frame(type, request; fields...) -> Frame

Make a frame, converting each field to its declared type: text becomes UTF-8 bytes, a number an array of one value.
Throws `WireError` if a field is missing or unknown.
"""
function frame(type::MessageType, request::Integer=0; fields...)
    return frame_of(type, UInt64(request), Dict{Symbol,Any}(fields))
end

"""Apart from `frame`, so that it is compiled once and not for each set of keywords."""
function frame_of(type::MessageType, request::UInt64, fields::Dict{Symbol,Any})
    declared = FIELDS[type]
    keys(fields) == Set(first.(declared)) ||
        throw(WireError("$type must have the fields $(first.(declared)); got $(collect(keys(fields)))."))
    arrays = Dict{Symbol,WireArray}()
    for (name, T) in declared
        arrays[name] = wire_array(T, fields[name])
    end
    return Frame(type, request, arrays)
end

wire_array(::Type{UInt8}, text::AbstractString) = wire_array(UInt8, Vector{UInt8}(codeunits(text)))
wire_array(::Type{T}, value::Real) where {T} = WireArray(T[value], [1])
function wire_array(::Type{T}, values::AbstractArray) where {T}
    return WireArray(Vector{T}(vec(values)), collect(Int, reverse(size(values))))
end

"""The values of a field, typed."""
values_of(message::Frame, name::Symbol, ::Type{T}) where {T} = message.fields[name].values::Vector{T}

"""The one value of a field; `WireError` if it holds none or several."""
function scalar_of(message::Frame, name::Symbol, ::Type{T}) where {T}
    values = values_of(message, name, T)
    length(values) == 1 ||
        throw(WireError("Field $name must hold one value; got shape $(message.fields[name].shape)."))
    return only(values)
end

"""A field of bytes as text; bytes that are no UTF-8 are kept as they are."""
text_of(message::Frame, name::Symbol) = String(copy(values_of(message, name, UInt8)))

"""Write a frame as bytes."""
function pack(message::Frame)
    payload = IOBuffer()
    for (name, T) in FIELDS[message.type]
        array = message.fields[name]
        write(payload, DTYPE_CODES[T], UInt8(length(array.shape)))
        foreach(extent -> write(payload, htol(UInt32(extent))), array.shape)
        write(payload, T === UInt8 ? array.values : htol.(array.values))
    end
    body = take!(payload)
    bytes = IOBuffer()
    write(bytes, MAGIC, htol(FRAME_VERSION), htol(UInt16(message.type)))
    write(bytes, htol(message.request), htol(UInt64(length(body))), body)
    return take!(bytes)
end

"""
    read_frame(stream) -> Frame or nothing

Read one frame; `nothing` if the stream ended before a frame began. Throws `WireError` if the bytes are no frame of this
version.
"""
function read_frame(stream::IO)
    header = read(stream, HEADER_BYTES)
    isempty(header) && return nothing
    length(header) == HEADER_BYTES ||
        throw(WireError("The stream ended in mid-frame: $(length(header)) of $HEADER_BYTES bytes."))
    header[1:4] == MAGIC ||
        throw(WireError("A frame must begin with $(String(copy(MAGIC))); the other side speaks something else."))
    version = little(UInt16, header, 5)
    version == FRAME_VERSION ||
        throw(WireError("The frames' version must be $FRAME_VERSION; got $version. Install matching versions."))
    size = little(UInt64, header, 17)
    size <= MAX_PAYLOAD || throw(WireError("A payload must not exceed $MAX_PAYLOAD bytes; got $size."))
    payload = read(stream, Int(size))
    length(payload) == size ||
        throw(WireError("The stream ended in mid-frame: $(length(payload)) of $size bytes."))
    return unpack(little(UInt16, header, 7), little(UInt64, header, 9), payload)
end

function little(::Type{T}, bytes::Vector{UInt8}, at::Int) where {T}
    return ltoh(only(reinterpret(T, bytes[at:(at + sizeof(T) - 1)])))
end

"""
    unpack(type, request, payload) -> Frame

Read a payload's fields. Throws `WireError` if the type is unknown, or a field is missing, truncated, of the wrong type,
or followed by extra bytes.
"""
function unpack(type::Integer, request::Integer, payload::Vector{UInt8})
    type in Int.(instances(MessageType)) ||
        throw(WireError("A message type must be one of 1:$(Int(TRACE)); got $type."))
    known = MessageType(type)
    fields, at = Dict{Symbol,WireArray}(), 1
    for (name, T) in FIELDS[known]
        fields[name], at = unpack_field(T, payload, at, "$known.$name")
    end
    at == length(payload) + 1 ||
        throw(WireError("$known must end after its fields; got $(length(payload) + 1 - at) extra bytes."))
    return Frame(known, UInt64(request), fields)
end

function unpack_field(::Type{T}, payload::Vector{UInt8}, at::Int, label::String) where {T}
    at + 1 <= length(payload) || throw(WireError("$label is missing: the payload ends."))
    code, dimensions = payload[at], Int(payload[at + 1])
    code == DTYPE_CODES[T] || throw(WireError("$label must have type $T; got type code $code."))
    at += 2
    if dimensions > MAX_DIMENSIONS || at + 4dimensions - 1 > length(payload)
        throw(WireError("$label has no valid field header; got $dimensions dimensions."))
    end
    shape = [Int(little(UInt32, payload, at + 4(i - 1))) for i in 1:dimensions]
    at += 4dimensions
    size = prod(big, shape; init=big(sizeof(T)))
    size <= length(payload) + 1 - at ||
        throw(WireError("$label of shape $shape is truncated: $size bytes declared."))
    stop = at + Int(size) - 1
    values = Vector{T}(reinterpret(T, payload[at:stop]))
    T === UInt8 || map!(ltoh, values, values)
    return WireArray(values, shape), stop + 1
end
