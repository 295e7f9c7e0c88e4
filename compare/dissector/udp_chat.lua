-- udp_chat.lua: a Wireshark dissector for the datagrams of udp-chat, as docs/protocol.md has them.
--
--   wireshark -X lua_script:compare/dissector/udp_chat.lua compare/dissector/udp_chat.pcap
--   tshark -X lua_script:compare/dissector/udp_chat.lua -r compare/dissector/udp_chat.pcap
--   tshark -X lua_script:compare/dissector/udp_chat.lua -i any -f 'udp portrange 9091-9092'
--
-- To have it always, copy it to the folder "Personal Lua Plugins" that Help > About > Folders
-- shows. It is made for Wireshark 4.0 and newer, with Lua 5.2 to 5.4.
--
-- It reads what comes from or goes to the ports 9091 (chat) and 9092 (discovery). A chat on another
-- port is found by its first datagram with the magic and a correct CRC-32; or "Decode As..." names
-- the port (tshark: -d udp.port==PORT,udpchat).
--
-- Fields have the names of docs/protocol.md. What to filter by, for example:
--
--   udpchat.type == 8 && udpchat.flags.repair == 1      repairs
--   udpchat.session_id == 0xb1b2b3b4b5b6b7b8            one session
--   udpchat.event.text contains "hello"                 a line, wherever it is carried
--   udpchat.crc32.status == "Bad"                       damaged datagrams
--   _ws.expert && udpchat                               all that `protocol.decode` refuses
--
-- Its verdict on a datagram is that of `protocol.decode`: what that refuses is marked by an expert
-- info that has the reason for its text (docs/protocol.md, 9.1). It differs in three points. A
-- datagram with a bad checksum is read on, as seeing what was damaged helps. Bytes without the
-- magic are left to other dissectors. And what is missing because the capture cuts packets off is
-- no fault of the datagram, so it is marked as just that.

local VERSION = 2
local CHAT_PORT = 9091
local DISCOVERY_PORT = 9092
local HEADER_BYTES = 8
local DATAGRAM_BYTES_MAX = 1200
local TEXT_BYTES_MAX = 900
local NAME_BYTES_MAX = 64
local ROOM_NAME_BYTES_MAX = 64
local REASON_BYTES_MAX = 255
local ADDRESS_BYTES_MAX = 64
local MOVED_BYTES_MAX = 96
local SUCCESSORS_BYTES_MAX = 228
local TAG_DIGITS = 16
local LINEAGE_BYTES = 128
local LABEL_BYTES_MAX = 80 -- of a text in the name of a tree: the field beneath has all of it
local YEAR_10000_MS = UInt64(253402300800000) -- from here on a calendar would not be readable

-- --- numbers on the wire ---------------------------------------------------------------------

local PACKET_TYPES = {
    "DISCOVER", "OFFER", "JOIN", "CHALLENGE", "WELCOME", "REFUSED",
    "SAY", "EVENTS", "STATUS", "LEAVE", "BYE", "FETCH", "TOLD",
}
local EVENT_KINDS = {
    "CHAT", "ACTION", "JOIN", "LEAVE", "RENAME", "PRIVATE", "NOTICE", "ROSTER", "SEEN", "STATS",
    "SUCCESSORS", "CHAT_APART", "ACTION_APART", "REGISTER",
    "LOST_APART",
}
local MESSAGE_KINDS = {
    "CHAT", "ACTION", "PRIVATE", "RENAME", "WHO", "SEEN", "STATS", "STAND_BY", "APART",
}
local REFUSED_REASONS = {
    "VERSION", "NAME_IN_USE", "UNUSABLE_NAME", "ROOM_FULL", "ADDRESS_FULL", "BUSY",
}
local BYE_REASONS = { "LEFT", "TIMEOUT", "UNKNOWN_SESSION", "SHUTTING_DOWN", "MOVED" }

-- What every event of a kind is like: bytes of its texts at least and at most, whether a member
-- caused it, and of an answer how many numbers its first line has, and what lines follow.
local EVENT_SHAPES = {
    CHAT = { name = { 1, 64 }, to = { 0, 0 }, text = { 0, 900 }, from_member = true },
    ACTION = { name = { 1, 64 }, to = { 0, 0 }, text = { 0, 900 }, from_member = true },
    JOIN = { name = { 1, 64 }, to = { 0, 0 }, text = { 0, 16 }, from_member = true, tag = true },
    LEAVE = { name = { 1, 64 }, to = { 0, 0 }, text = { 1, 64 }, from_member = true },
    RENAME = { name = { 1, 64 }, to = { 0, 0 }, text = { 1, 64 }, from_member = true },
    PRIVATE = {
        inbox = true, name = { 1, 64 }, to = { 1, 64 }, text = { 0, 900 }, from_member = true,
    },
    NOTICE = { inbox = true, name = { 0, 0 }, to = { 0, 64 }, text = { 1, 64 } },
    ROSTER = {
        inbox = true, name = { 0, 0 }, to = { 0, 0 }, text = { 0, 900 }, numbers = 2, lines = "names",
    },
    SEEN = {
        inbox = true, name = { 0, 0 }, to = { 0, 0 }, text = { 0, 900 }, numbers = 3, lines = "names",
    },
    STATS = { inbox = true, name = { 0, 0 }, to = { 0, 0 }, text = { 0, 900 }, numbers = 1 },
    SUCCESSORS = {
        name = { 0, 0 }, to = { 0, 0 }, text = { 0, SUCCESSORS_BYTES_MAX }, successors = true,
    },
    CHAT_APART = { name = { 1, 64 }, to = { 1, 64 }, text = { 0, 900 }, from_member = true },
    ACTION_APART = { name = { 1, 64 }, to = { 1, 64 }, text = { 0, 900 }, from_member = true },
    LOST_APART = { name = { 0, 0 }, to = { 1, 64 }, text = { 0, 0 } },
    REGISTER = {
        inbox = true, name = { 0, 0 }, to = { 0, 0 }, text = { 0, 900 }, numbers = 2, lines = "rows",
    },
}
local NAME_BYTES_MAX, DIGITS_MAX = 64, 20

local REFUSED, SAY, EVENTS = 6, 7, 8

local FLAG_INBOX, FLAG_ASK, FLAG_ANSWER, FLAG_REPAIR, FLAG_PADDED = 1, 2, 4, 8, 16
local FLAGS_MAX = 31
local OFFER_FLAGS_AT = 46
local FLAG_HOSTS, FLAG_HANDED_ON, FLAG_TALKED = 1, 2, 4 -- of OFFER

local CRC_BAD, CRC_GOOD, CRC_UNVERIFIED = 0, 1, 2
local CRC_STATUSES = { [CRC_BAD] = "Bad", [CRC_GOOD] = "Good", [CRC_UNVERIFIED] = "Unverified" }

-- --- the protocol, its fields and its expert infos -------------------------------------------

local udpchat = Proto("udpchat", "udp-chat")

local registered_fields = {}

local function register(make, name, ...)
    local label = name:match("[^.]+$"):gsub("_", " "):gsub("^%l", string.upper)
    label = label:gsub("^Crc", "CRC-")
    local field = make("udpchat." .. name, label, ...)
    registered_fields[#registered_fields + 1] = field
    return field
end

local NUMBER_MAKERS = {
    [1] = ProtoField.uint8,
    [2] = ProtoField.uint16,
    [4] = ProtoField.uint32,
    [8] = ProtoField.uint64,
}

-- The entries of layouts: a field, the key of its value among those read, and its size.

local function number(name, bytes, names)
    local field = register(NUMBER_MAKERS[bytes], name, base.DEC, names)
    return { key = name:match("[^.]+$"), bytes = bytes, field = field }
end

local function hex(name, bytes)
    local field = register(NUMBER_MAKERS[bytes], name, base.HEX)
    return { key = name:match("[^.]+$"), bytes = bytes, field = field }
end

local function bool(name)
    return { key = name:match("[^.]+$"), bytes = 1, field = register(ProtoField.bool, name) }
end

local function bytes(name, count, field)
    return { key = name, bytes = count, field = field or register(ProtoField.bytes, name) }
end

local field = {
    crc32_status = register(ProtoField.uint8, "crc32.status", base.DEC, CRC_STATUSES),
    message = register(ProtoField.none, "message"),
    event = register(ProtoField.none, "event"),
    seq = register(ProtoField.uint64, "event.seq", base.DEC),
    answer = register(ProtoField.none, "answer"),
    undecoded = register(ProtoField.bytes, "undecoded"),
    flags = {
        register(ProtoField.bool, "flags.inbox", 8, nil, FLAG_INBOX),
        register(ProtoField.bool, "flags.ask", 8, nil, FLAG_ASK),
        register(ProtoField.bool, "flags.answer", 8, nil, FLAG_ANSWER),
        register(ProtoField.bool, "flags.repair", 8, nil, FLAG_REPAIR),
        register(ProtoField.bool, "flags.padded", 8, nil, FLAG_PADDED),
    },
    offer_flags = {
        register(ProtoField.bool, "flags.hosts", 8, nil, FLAG_HOSTS),
        register(ProtoField.bool, "flags.handed_on", 8, nil, FLAG_HANDED_ON),
        register(ProtoField.bool, "flags.talked", 8, nil, FLAG_TALKED),
    },
}

local function text(name, bytes_max)
    local key = name:match("[^.]+$")
    return { key = key, bytes_max = bytes_max, field = register(ProtoField.string, name) }
end

-- The fields that several packets have, each registered once.
local client_id = hex("client_id", 8)
local session_id = hex("session_id", 8)
local nonce = hex("nonce", 8)
local epoch = hex("epoch", 8)
local inbox_epoch = hex("inbox_epoch", 8)
local cookie = bytes("cookie", 16)
local timestamp = number("timestamp", 8)
local echo = number("echoed_timestamp", 8)
local room_ack = number("room_ack", 8)
local inbox_ack = number("inbox_ack", 8)
local oldest = number("oldest", 8)
local latest = number("latest", 8)
local ack_delay_ms = number("ack_delay_ms", 2)
local count = number("count", 1)
local flags = hex("flags", 1)
local member = number("member", 4)
local room_id = hex("room_id", 8)
local lineage = bytes("lineage", LINEAGE_BYTES)
local first = number("first", 8)
local reason_text_length = number("text_length", 1)
local reason_text = text("text", REASON_BYTES_MAX)
local host_name_length = number("host_name_length", 1)
local host_name = text("host_name", NAME_BYTES_MAX)
local name_length = number("name_length", 1)
local room_length = number("room_length", 1)
local name = text("name", NAME_BYTES_MAX)
local room = text("room", ROOM_NAME_BYTES_MAX)
local padding = register(ProtoField.bytes, "padding")

local HEADER = {
    { key = "magic", bytes = 2, field = register(ProtoField.string, "magic") },
    number("version", 1),
    number("type", 1, PACKET_TYPES),
    hex("crc32", 4),
}

-- What a packet consists of: fields of fixed size and then texts, whose lengths are among them.
local PACKETS = {
    DISCOVER = { nonce, timestamp, bytes("padding", 168, padding), texts = {} },
    OFFER = {
        nonce, epoch, number("member_count", 4), number("port", 2), room_id, hex("absorbs", 8), flags,
        room_length, host_name_length,
        texts = { room, host_name },
    },
    JOIN = {
        client_id, timestamp, cookie, epoch, room_ack, inbox_epoch, inbox_ack,
        number("next_message_id", 4), room_id, member, lineage, name_length,
        texts = { name },
    },
    CHALLENGE = { hex("sender_id", 8), cookie, texts = {} },
    WELCOME = {
        client_id, echo, session_id, epoch, inbox_epoch, oldest, latest,
        number("start", 8), number("joined", 8), number("inbox_start", 8),
        number("received", 4), member, number("heartbeat_ms", 4), ack_delay_ms,
        room_id, number("host", 4), lineage, bool("handed_on"),
        name_length, room_length, host_name_length, number("host_address_length", 1),
        number("successors_length", 1),
        texts = {
            name, room, host_name, text("host_address", ADDRESS_BYTES_MAX),
            text("successors", SUCCESSORS_BYTES_MAX),
        },
    },
    REFUSED = {
        client_id, echo, number("reason", 1, REFUSED_REASONS), reason_text_length,
        texts = { reason_text },
    },
    SAY = { session_id, timestamp, count },
    EVENTS = {
        flags, count, ack_delay_ms, epoch, timestamp, oldest, latest, first,
    },
    STATUS = {
        session_id, timestamp, echo, room_ack, number("room_gap_end", 8), inbox_ack,
        number("inbox_gap_end", 8), number("sent_count", 4), bool("ask"),
        texts = {},
    },
    LEAVE = { session_id, timestamp, bytes("padding", 8, padding), texts = {} },
    BYE = {
        session_id, number("reason", 1, BYE_REASONS), reason_text_length,
        texts = { { key = "text", bytes_max = MOVED_BYTES_MAX, field = reason_text.field } },
    },
    FETCH = { client_id, epoch, first, number("last", 8), texts = {} },
    TOLD = { client_id, timestamp, epoch, first, count },
}

local ANSWER = {
    number("answer.echoed_timestamp", 8), number("answer.received", 4), number("answer.appended", 4),
    number("answer.inbox_latest", 8), number("answer.sent_count", 4),
}

local EVENT = {
    number("event.kind", 1, EVENT_KINDS), number("event.name_length", 1),
    number("event.to_length", 1), number("event.text_length", 2), number("event.time_ms", 8),
    number("event.member", 4), number("event.message_id", 4),
    texts = {
        text("event.name", NAME_BYTES_MAX),
        text("event.to", NAME_BYTES_MAX),
        text("event.text", TEXT_BYTES_MAX),
    },
}

local MESSAGE = {
    number("message.message_id", 4), number("message.kind", 1, MESSAGE_KINDS),
    bool("message.more"), number("message.to_length", 1), number("message.text_length", 2),
    texts = { text("message.to", NAME_BYTES_MAX), text("message.text", TEXT_BYTES_MAX) },
}

-- How a client's packets begin in every version (docs/protocol.md, 2).
local PREFIXES = {
    DISCOVER = { nonce, timestamp },
    JOIN = { client_id, timestamp },
    SAY = { session_id, timestamp },
    STATUS = { session_id, timestamp },
    LEAVE = { session_id, timestamp },
    TOLD = { client_id, timestamp },
}
local PREFIX_BYTES = 16

udpchat.fields = registered_fields

local experts = {}
local registered_experts = {}

local function register_expert(reason, group, severity)
    local abbreviation = "udpchat." .. reason:lower():gsub(" ", "_")
    experts[reason] = ProtoExpert.new(abbreviation, reason, group, severity)
    registered_experts[#registered_experts + 1] = experts[reason]
end

for _, reason in ipairs({
    "too long", "truncated", "unknown PacketType", "unknown EventKind", "unknown MessageKind",
    "unknown flags", "text too long", "invalid utf-8", "empty say", "impossible slice",
    "bad padding", "trailing bytes", "impossible event", "event in the wrong log", "no name",
}) do
    register_expert(reason, expert.group.MALFORMED, expert.severity.ERROR)
end
register_expert("bad checksum", expert.group.CHECKSUM, expert.severity.ERROR)
register_expert("unsupported version", expert.group.PROTOCOL, expert.severity.WARN)
register_expert("cut off by the capture", expert.group.PROTOCOL, expert.severity.NOTE)

udpchat.experts = registered_experts

-- --- CRC-32 (IEEE 802.3, reflected), as in zlib ----------------------------------------------

-- Lua 5.2 has bit32 and cannot even parse the operators that replace it from 5.3 on.
local band, bxor, rshift
if bit32 then
    band, bxor, rshift = bit32.band, bit32.bxor, bit32.rshift
else
    band, bxor, rshift = load([[
        return function(a, b) return a & b end,
            function(a, b) return a ~ b end,
            function(a, n) return a >> n end
    ]])()
end

local CRC_TABLE = {}
for byte = 0, 255 do
    local remainder = byte
    for _ = 1, 8 do
        local carry = band(remainder, 1)
        remainder = rshift(remainder, 1)
        if carry == 1 then
            remainder = bxor(remainder, 0xEDB88320)
        end
    end
    CRC_TABLE[byte] = remainder
end

-- Over all but the checksum itself: bytes 0 to 3 and the body.
local function checksum(data)
    local crc = 0xFFFFFFFF
    for at = 1, #data do
        if at <= 4 or at > HEADER_BYTES then
            crc = bxor(CRC_TABLE[band(bxor(crc, data:byte(at)), 0xFF)], rshift(crc, 8))
        end
    end
    return bxor(crc, 0xFFFFFFFF)
end

-- --- texts -----------------------------------------------------------------------------------

-- Strictly, as Python decodes: nothing overlong, no surrogates, nothing beyond U+10FFFF.
local function is_utf8(data)
    local at = 1
    while at <= #data do
        local lead = data:byte(at)
        local size, low, high = 1, 0x80, 0xBF
        if lead >= 0xF5 or (lead >= 0x80 and lead < 0xC2) then
            return false
        elseif lead >= 0xF0 then
            size = 4
        elseif lead >= 0xE0 then
            size = 3
        elseif lead >= 0xC2 then
            size = 2
        end
        if lead == 0xE0 then
            low = 0xA0
        elseif lead == 0xED then
            high = 0x9F
        elseif lead == 0xF0 then
            low = 0x90
        elseif lead == 0xF4 then
            high = 0x8F
        end
        for following = at + 1, at + size - 1 do
            local byte = data:byte(following)
            if not byte or byte < low or byte > high then
                return false
            end
            low, high = 0x80, 0xBF
        end
        at = at + size
    end
    return true
end

-- For labels and the info column, which are printed as they are: without control characters, C1
-- ones and bidirectional overrides included, and cut between characters.
local function readable(data)
    if #data > LABEL_BYTES_MAX then
        local cut = LABEL_BYTES_MAX
        while cut > 0 and band(data:byte(cut + 1), 0xC0) == 0x80 do
            cut = cut - 1
        end
        data = data:sub(1, cut) .. "…"
    end
    data = data:gsub("%c", "?"):gsub("\194[\128-\159]", "?")
    return (data:gsub("\226\128[\142\143\168-\174]", "?"):gsub("\226\129[\166-\169]", "?"))
end

local function name_of(number_on_wire, names)
    return names[number_on_wire] or tostring(number_on_wire)
end

-- What is numbered from one to another, both included.
local function span(first, last)
    return tostring(first) .. (first == last and "" or ".." .. tostring(last))
end

local function plural(number_of, what)
    return number_of .. " " .. what .. (number_of == 1 and "" or "s")
end

-- --- reading a datagram ----------------------------------------------------------------------

-- Reads fields into trees. What cannot be read is marked, remembered as the reason, and returned as
-- nil, upon which the caller gives up: never an error of Lua, nor a range that is not there.
local Reader = {}
Reader.__index = Reader

function Reader.new(tvb, root)
    return setmetatable({
        tvb = tvb,
        root = root,
        at = 0,
        captured = tvb:len(),
        size = tvb:reported_len(),
        reasons = {},
    }, Reader)
end

function Reader:refuse(reason, item)
    (item or self.root):add_proto_expert_info(experts[reason])
    self.reasons[#self.reasons + 1] = reason
    return nil
end

function Reader:has(bytes_wanted)
    if self.at + bytes_wanted > self.size then
        self:refuse("truncated")
        return false
    elseif self.at + bytes_wanted > self.captured then
        self:refuse("cut off by the capture")
        return false
    end
    return true
end

-- The values of fields of fixed size, and their items in the tree, by their keys.
function Reader:fields(tree, layout)
    local values, items = {}, {}
    for _, entry in ipairs(layout) do
        if not self:has(entry.bytes) then
            return nil
        end
        local range = self.tvb(self.at, entry.bytes)
        items[entry.key] = tree:add(entry.field, range)
        if entry.bytes == 8 then
            values[entry.key] = range:uint64()
        elseif entry.bytes <= 4 then
            values[entry.key] = range:uint()
        else
            values[entry.key] = range:raw()
        end
        self.at = self.at + entry.bytes
    end
    return values, items
end

-- Adds the texts to the values; false if one cannot be read.
function Reader:texts(tree, layout, values, items)
    for _, entry in ipairs(layout.texts) do
        local length = values[entry.key .. "_length"]
        if length > entry.bytes_max then
            self:refuse("text too long", items[entry.key .. "_length"])
            return false
        elseif not self:has(length) then
            return false
        end
        local range = self.tvb(self.at, length)
        local data = length > 0 and range:raw() or ""
        self.at = self.at + length
        -- A string ends at its first NUL in Wireshark, so that one is shown by its symbol.
        local shown = data:gsub("\0", "␀")
        if not is_utf8(data) then
            shown = shown:gsub("[\128-\255]", "�")
            self:refuse("invalid utf-8", tree:add(entry.field, range, shown))
            return false
        end
        tree:add(entry.field, range, shown)
        values[entry.key] = data
    end
    return true
end

-- The zeros that fill the datagram; false if they do not.
function Reader:zeros()
    local data, item = "", self.root
    if self.at < self.captured then
        local range = self.tvb(self.at)
        data, item = range:raw(), self.root:add(padding, range)
        self.at = self.captured
    end
    if self.size ~= DATAGRAM_BYTES_MAX or data:find("[^\0]") then
        self:refuse("bad padding", item)
        return false
    end
    return self:has(self.size - self.captured)
end

-- What is left of the datagram, so that no byte is hidden.
function Reader:rest()
    if self.at < self.captured then
        return self.root:add(field.undecoded, self.tvb(self.at))
    end
    return self.root
end

-- Several of the same in a row, each with a tree of its own.
function Reader:list(how_many, tree_field, layout, read_one)
    local list = {}
    for index = 1, how_many do
        if not self:has(layout[1].bytes) then -- else there would be a tree of nothing
            return nil
        end
        local start = self.at
        local tree = self.root:add(tree_field, self.tvb(start))
        local one = read_one(self, tree, index)
        tree:set_len(self.at - start)
        if not one then
            return nil
        end
        list[index] = one
    end
    return list
end

-- --- the packets -----------------------------------------------------------------------------

-- Each reader of a body returns what the info column says of it; nil if it is malformed.
local bodies = {}

local function read_plain(reader, type_name)
    local layout = PACKETS[type_name]
    local values, items = reader:fields(reader.root, layout)
    if not values or not reader:texts(reader.root, layout, values, items) then
        return nil
    end
    return values, items
end

function bodies.DISCOVER(reader)
    return read_plain(reader, "DISCOVER") and ""
end

function bodies.OFFER(reader)
    local values, items = read_plain(reader, "OFFER")
    if not values then
        return nil
    end
    for _, flag_field in ipairs(field.offer_flags) do
        items.flags:add(flag_field, reader.tvb(OFFER_FLAGS_AT, 1))
    end
    local who = values.host_name == "" and "" or " hosted by " .. readable(values.host_name)
    return string.format(
        ' "%s"%s, port %d, %s',
        readable(values.room), who, values.port, plural(values.member_count, "member")
    ) .. (band(values.flags, FLAG_HOSTS) ~= 0 and "" or ", not hosted here")
end

function bodies.JOIN(reader)
    local values = read_plain(reader, "JOIN")
    if not values then
        return nil
    end
    local with = values.cookie:find("[^\0]") and "with a cookie" or "without a cookie"
    return string.format(" %s, %s", readable(values.name), with)
end

function bodies.CHALLENGE(reader)
    return read_plain(reader, "CHALLENGE") and ""
end

function bodies.WELCOME(reader)
    local values = read_plain(reader, "WELCOME")
    if not values then
        return nil
    end
    local zero = UInt64(0)
    if
        values.oldest == zero
        or values.oldest - 1 > values.latest
        or values.start == zero
        or values.start - 1 > values.latest
        or values.inbox_start == zero
        or values.joined > values.latest
    then
        return reader:refuse("impossible slice")
    elseif values.name == "" then
        return reader:refuse("no name")
    end
    return string.format(
        ' %s, member %s, room "%s" from %s',
        readable(values.name), values.member, readable(values.room), tostring(values.start)
    )
end

function bodies.REFUSED(reader)
    local values = read_plain(reader, "REFUSED")
    return values and " " .. name_of(values.reason, REFUSED_REASONS)
end

local function read_message(reader, tree)
    local values, items = reader:fields(tree, MESSAGE)
    if not values or not reader:texts(tree, MESSAGE, values, items) then
        return nil
    elseif not MESSAGE_KINDS[values.kind] then
        return reader:refuse("unknown MessageKind", items.kind)
    end
    tree:set_text(string.format(
        "Message %s: %s%s: %s",
        values.message_id, MESSAGE_KINDS[values.kind],
        values.to == "" and "" or " to " .. readable(values.to), readable(values.text)
    ))
    return values
end

function bodies.SAY(reader)
    local values, items = reader:fields(reader.root, PACKETS.SAY)
    if not values then
        return nil
    elseif values.count == 0 then
        return reader:refuse("empty say", items.count)
    end
    local messages = reader:list(values.count, field.message, MESSAGE, read_message)
    if not messages then
        return nil
    end
    local ids = span(messages[1].message_id, messages[#messages].message_id)
    return string.format(" %s %s", plural(#messages, "message"), ids)
end

-- Whether a line is so many decimal numbers with one space between them.
local function is_numbers(line, how_many)
    local found = 0
    for word in (line .. " "):gmatch("([^ ]*) ") do
        if #word > DIGITS_MAX or not word:find("^[0-9]+$") then
            return false
        end
        found = found + 1
    end
    return found == how_many
end

local function is_number(word)
    return #word <= DIGITS_MAX and word:find("^[0-9]+$") ~= nil
end

local function is_tag(word)
    return #word == TAG_DIGITS and not word:find("[^0-9a-f]")
end

-- What the lines behind the first one of an answer are like.
local LINES = {
    names = function(line)
        return #line > 0 and #line <= NAME_BYTES_MAX
    end,
    rows = function(line)
        local number_of, tag, appended, joined, who = line:match(
            "^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$"
        )
        return who and is_number(number_of) and is_tag(tag) and is_number(appended)
            and is_number(joined) and #who <= NAME_BYTES_MAX
    end,
}

-- Whether a text names successors: a number and an address a line.
local function is_successors(text_of)
    if text_of ~= "" and text_of:sub(-1) ~= "\n" then
        return false
    end
    for line in text_of:gmatch("([^\n]*)\n") do
        local number_of, address = line:match("^([^ ]+) ([^ ]+)$")
        if not address or not is_number(number_of) or #address > ADDRESS_BYTES_MAX then
            return false
        end
    end
    return true
end

-- Whether a text has the form of an answer.
local function is_answer(text, shape)
    local first = true
    for line in (text .. "\n"):gmatch("([^\n]*)\n") do
        if first and not is_numbers(line, shape.numbers) then
            return false
        elseif not first and shape.lines and not LINES[shape.lines](line) then
            return false
        end
        first = false
    end
    return true
end

local function is_within(length, bounds)
    return bounds[1] <= length and length <= bounds[2]
end

-- Whether an event is like all others of its kind.
local function is_possible(values, shape)
    return is_within(#values.name, shape.name)
        and is_within(#values.to, shape.to)
        and is_within(#values.text, shape.text)
        and (not shape.from_member or values.member ~= 0)
        and (not shape.numbers or is_answer(values.text, shape))
        and (not shape.tag or values.text == "" or is_tag(values.text))
        and (not shape.successors or is_successors(values.text))
end

local function read_event(reader, tree, seq, inbox)
    tree:add(field.seq, seq):set_generated()
    local values, items = reader:fields(tree, EVENT)
    if not values then
        return nil
    elseif not EVENT_KINDS[values.kind] then
        return reader:refuse("unknown EventKind", items.kind)
    end
    local shape = EVENT_SHAPES[EVENT_KINDS[values.kind]]
    if (shape.inbox or false) ~= inbox then
        return reader:refuse("event in the wrong log", items.kind)
    end
    if values.time_ms < YEAR_10000_MS then
        local seconds = (values.time_ms / 1000):tonumber()
        local milliseconds = (values.time_ms % 1000):tonumber()
        local date = os.date("!%Y-%m-%d %H:%M:%S", seconds)
        items.time_ms:append_text(string.format(" (%s.%03d UTC)", date, milliseconds))
    end
    if not reader:texts(tree, EVENT, values, items) then
        return nil
    elseif not is_possible(values, shape) then
        return reader:refuse("impossible event", tree)
    end
    tree:set_text(string.format(
        "Event %s: %s %s%s%s",
        tostring(seq), EVENT_KINDS[values.kind], readable(values.name),
        values.to == "" and "" or " to " .. readable(values.to),
        values.text == "" and "" or ": " .. readable(values.text)
    ))
    return values
end

function bodies.EVENTS(reader)
    local values, items = reader:fields(reader.root, PACKETS.EVENTS)
    if not values then
        return nil
    end
    local flags, first, how_many = values.flags, values.first, values.count
    for _, flag_field in ipairs(field.flags) do
        items.flags:add(flag_field, reader.tvb(HEADER_BYTES, 1))
    end
    if flags > FLAGS_MAX then
        return reader:refuse("unknown flags", items.flags)
    end
    if band(flags, FLAG_ANSWER) ~= 0 then
        local answer = reader:list(1, field.answer, ANSWER, function(_, tree)
            return reader:fields(tree, ANSWER)
        end)
        if not answer then
            return nil
        end
    end
    local events = reader:list(how_many, field.event, EVENT, function(_, tree, index)
        return read_event(reader, tree, first + (index - 1), band(flags, FLAG_INBOX) ~= 0)
    end)
    if not events then
        return nil
    end
    -- The differences are taken so that nothing can be less than 0 or more than 64 bits.
    local fits
    if how_many == 0 then
        fits = first ~= UInt64(0) and first - 1 <= values.latest
    else
        fits = first <= values.latest and values.latest - first >= UInt64(how_many - 1)
    end
    if values.oldest == UInt64(0) or first < values.oldest or not fits then
        return reader:refuse("impossible slice")
    end
    if band(flags, FLAG_PADDED) ~= 0 and not reader:zeros() then
        return nil
    end
    local what = band(flags, FLAG_INBOX) ~= 0 and " inbox" or " room"
    if how_many == 0 then
        what = what .. ", none after " .. tostring(values.latest)
    else
        what = what .. " " .. span(first, first + (how_many - 1))
    end
    return what
        .. (band(flags, FLAG_REPAIR) ~= 0 and ", repair" or "")
        .. (band(flags, FLAG_ASK) ~= 0 and ", ask" or "")
        .. (band(flags, FLAG_ANSWER) ~= 0 and ", answer" or "")
        .. (band(flags, FLAG_PADDED) ~= 0 and ", padded" or "")
end

local function acknowledged(log, ack, gap_end)
    local what = string.format(" %s %s", log, tostring(ack))
    return gap_end > ack and what .. ", missing " .. span(ack + 1, gap_end) or what
end

function bodies.STATUS(reader)
    local values = read_plain(reader, "STATUS")
    if not values then
        return nil
    end
    return acknowledged("room", values.room_ack, values.room_gap_end)
        .. ","
        .. acknowledged("inbox", values.inbox_ack, values.inbox_gap_end)
        .. (values.ask ~= 0 and ", ask" or "")
end

function bodies.LEAVE(reader)
    return read_plain(reader, "LEAVE") and ""
end

function bodies.BYE(reader)
    local values = read_plain(reader, "BYE")
    if not values then
        return nil
    end
    local where = values.text == "" and "" or ": " .. readable(values.text)
    return " " .. name_of(values.reason, BYE_REASONS) .. where
end

function bodies.FETCH(reader)
    local values = read_plain(reader, "FETCH")
    return values and " " .. span(values.first, values.last)
end

local BEYOND_SEQ = UInt64(0, 0x80000000) -- a log cannot have so many events

function bodies.TOLD(reader)
    local values = reader:fields(reader.root, PACKETS.TOLD)
    if not values then
        return nil
    elseif values.first == UInt64(0) or values.first > BEYOND_SEQ then
        return reader:refuse("impossible slice")
    end
    local events = reader:list(values.count, field.event, EVENT, function(_, tree, index)
        return read_event(reader, tree, values.first + (index - 1), false)
    end)
    if not events then
        return nil
    elseif #events == 0 then
        return " nothing"
    end
    return " " .. span(values.first, values.first + (#events - 1))
end

-- --- the datagram ----------------------------------------------------------------------------

-- Reads a datagram in the order of `protocol.decode`; what the info column says of it.
local function read_datagram(reader)
    if reader.size > DATAGRAM_BYTES_MAX then
        reader:refuse("too long")
    end
    local header, items = reader:fields(reader.root, HEADER)
    if not header then
        return "?"
    end
    local type_name = PACKET_TYPES[header.type]
    local info = type_name or "packet type " .. header.type
    if #reader.reasons > 0 then
        return info
    end

    local status = CRC_UNVERIFIED
    if reader.captured == reader.size then
        local good = checksum(reader.tvb(0):raw()) == header.crc32
        status = good and CRC_GOOD or CRC_BAD
    end
    items.crc32:add(field.crc32_status, status):set_generated()
    if status == CRC_BAD then
        reader:refuse("bad checksum", items.crc32)
    end

    -- A REFUSED is the same in all versions.
    if header.version ~= VERSION and header.type ~= REFUSED then
        reader:refuse("unsupported version", items.version)
        if PREFIXES[type_name] and reader.at + PREFIX_BYTES <= reader.captured then
            reader:fields(reader.root, PREFIXES[type_name])
        end
        return string.format("%s of version %d", info, header.version)
    elseif not type_name then
        reader:refuse("unknown PacketType", items.type)
        return info
    end

    local what = bodies[type_name](reader)
    if what and reader.at < reader.size then
        reader:refuse("trailing bytes")
    end
    return info .. (what or "")
end

local function begins_with_magic(tvb)
    local begins = tvb(0, math.min(2, tvb:len())):raw()
    return begins == ("UC"):sub(1, #begins)
end

local function dissect_datagram(tvb, tree)
    local root = tree:add(udpchat, tvb())
    local reader = Reader.new(tvb, root)
    local info = read_datagram(reader)
    reader:rest()
    for _, reason in ipairs(reader.reasons) do
        info = string.format("%s [%s]", info, reason)
    end
    root:append_text(": " .. info)
    return info
end

-- Captured on the machine that sends it, a train (docs/protocol.md 7.2) is still one packet: its
-- datagrams, all but the last of the greatest length, come one behind the other.
local function begins_a_train(tvb, at)
    local next_at = at + DATAGRAM_BYTES_MAX
    return tvb:len() >= next_at + HEADER_BYTES and begins_with_magic(tvb(next_at):tvb())
end

function udpchat.dissector(tvb, pinfo, tree)
    -- Whoever else uses the port has their own dissector.
    if not begins_with_magic(tvb) then
        return 0
    end
    local infos, at = {}, 0
    while begins_a_train(tvb, at) do
        infos[#infos + 1] = dissect_datagram(tvb(at, DATAGRAM_BYTES_MAX):tvb(), tree)
        at = at + DATAGRAM_BYTES_MAX
    end
    infos[#infos + 1] = dissect_datagram(at == 0 and tvb or tvb(at):tvb(), tree)
    pinfo.cols.protocol = "udp-chat"
    pinfo.cols.info = table.concat(infos, " | ")
    return tvb:len()
end

-- Two letters could be anybody's, so a stranger's datagram is taken for a chat's only with the
-- checksum that belongs to it. After that its conversation is known, damaged datagrams included.
local function is_chat(tvb)
    if tvb:len() < HEADER_BYTES or not begins_with_magic(tvb) then
        return false
    elseif tvb:len() < tvb:reported_len() then
        return tvb(2, 1):uint() == VERSION and PACKET_TYPES[tvb(3, 1):uint()] ~= nil
    end
    local first = begins_a_train(tvb, 0) and tvb(0, DATAGRAM_BYTES_MAX) or tvb(0)
    return checksum(first:raw()) == tvb(4, 4):uint()
end

udpchat:register_heuristic("udp", function(tvb, pinfo, tree)
    if not is_chat(tvb) then
        return false
    end
    udpchat.dissector(tvb, pinfo, tree)
    pinfo.conversation = udpchat
    return true
end)

local ports = DissectorTable.get("udp.port")
ports:add(CHAT_PORT, udpchat)
ports:add(DISCOVERY_PORT, udpchat)
