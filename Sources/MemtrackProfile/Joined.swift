// SPDX-License-Identifier: Apache-2.0

/// Two values whose parts stand beside each other in one object of JSON: counters and what they are of.
public struct Joined<First, Second> {
    public var first: First
    public var second: Second

    public init(_ first: First, _ second: Second) {
        self.first = first
        self.second = second
    }
}

extension Joined: Encodable where First: Encodable, Second: Encodable {
    public func encode(to encoder: any Encoder) throws {
        try first.encode(to: encoder)
        try second.encode(to: encoder)
    }
}

extension Joined: Decodable where First: Decodable, Second: Decodable {
    public init(from decoder: any Decoder) throws {
        first = try First(from: decoder)
        second = try Second(from: decoder)
    }
}
