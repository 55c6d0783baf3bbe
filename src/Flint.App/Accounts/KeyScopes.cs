using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flint.App.Accounts;

/// <summary>
/// What a key may be used for. A list that is empty allows everything; else a name must be in it, whole or by its beginning
/// (<c>llama-*</c>).
/// </summary>
public sealed record KeyScopes
{
    /// <summary>Most entries of a list.</summary>
    public const int MaxEntries = 64;

    /// <summary>Longest entry, in characters.</summary>
    public const int MaxEntryLength = 200;

    /// <summary>The profile that takes everything.</summary>
    public const string OpenProfile = "open";

    /// <summary>The profile that refuses what Meta's Model API refuses.</summary>
    public const string MuseProfile = "muse";

    /// <summary>All profiles.</summary>
    public static readonly IReadOnlyList<string> Profiles = [OpenProfile, MuseProfile];

    /// <summary>Everything.</summary>
    public static readonly KeyScopes All = new();

    /// <summary>Models, as requests name them.</summary>
    public IReadOnlyList<string> Models { get; init; } = [];

    /// <summary>Paths, such as <c>/v1/chat/completions</c>.</summary>
    public IReadOnlyList<string> Routes { get; init; } = [];

    /// <summary>Modes of reasoning.</summary>
    public IReadOnlyList<string> Modes { get; init; } = [];

    /// <summary>Whether functions may be offered to the model.</summary>
    public bool Tools { get; init; } = true;

    /// <summary>Networks that requests may come from (CIDR, IPv4 and IPv6; an address alone is a network of one).</summary>
    public IReadOnlyList<string> Addresses { get; init; } = [];

    /// <summary>The policy that its requests and answers must keep to; null for the server's default.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Policy { get; init; }

    /// <summary>The profile of its requests, one of <see cref="Profiles"/>; null for the server's.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Profile { get; init; }

    /// <summary>How the texts of its requests and answers are kept; null for not at all.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public PromptLogging? Prompts { get; init; }

    /// <summary>Whether it opens the admin API, and with it nothing else.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Admin { get; init; }

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    public static KeyScopes Parse(string json) => json == "{}" ? All : JsonSerializer.Deserialize(json, ScopesJson.Default.KeyScopes)!;

    /// <summary>As JSON, in which equal scopes are equal.</summary>
    public override string ToString() => Equals(All) ? "{}" : JsonSerializer.Serialize(this, ScopesJson.Default.KeyScopes);

    /// <inheritdoc/>
    public bool Equals(KeyScopes? other) =>
        other is not null && Tools == other.Tools && Models.SequenceEqual(other.Models) && Routes.SequenceEqual(other.Routes)
        && Modes.SequenceEqual(other.Modes) && Addresses.SequenceEqual(other.Addresses) && Policy == other.Policy
        && Profile == other.Profile && Prompts == other.Prompts && Admin == other.Admin;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Models.Count, Routes.Count, Modes.Count, Tools, Addresses.Count, Policy, HashCode.Combine(Profile, Prompts), Admin);

    /// <summary>Checks that every entry can be understood.</summary>
    /// <exception cref="FlintException">Caller: one cannot, or a list is too long.</exception>
    public void Validate()
    {
        foreach ((string name, IReadOnlyList<string> list) in new[] { ("models", Models), ("routes", Routes), ("modes", Modes), ("addresses", Addresses) })
        {
            if (list.Count > MaxEntries)
                throw FlintException.Caller("invalid_scope", $"The scope '{name}' has at most {MaxEntries} entries, not {list.Count}.");
            if (list.FirstOrDefault(entry => entry.Length is 0 or > MaxEntryLength || entry.Any(char.IsControl)) is { } wrong)
                throw FlintException.Caller("invalid_scope", $"An entry of the scope '{name}' has 1 to {MaxEntryLength} printable characters, not '{wrong}'.");
        }

        if (Policy is { } policy && (policy.Length is 0 or > MaxEntryLength || policy.Any(char.IsControl)))
            throw FlintException.Caller("invalid_scope", $"The name of a policy has 1 to {MaxEntryLength} printable characters.");
        if (Profile is { } profile && !Profiles.Contains(profile))
            throw FlintException.Caller("invalid_scope", $"A profile is one of {string.Join(", ", Profiles)}, not '{profile}'.");
        Prompts?.Validate();
        if (Admin && (Models.Count + Modes.Count > 0 || !Tools || Policy is not null || Profile is not null || Prompts is not null))
            throw FlintException.Caller("invalid_scope", "A key for the admin API opens no model: it has no scopes 'models', 'modes', 'tools', 'policy', 'profile' and 'prompts'.");
        foreach (string route in Routes)
        {
            if (route[0] != '/')
                throw FlintException.Caller("invalid_scope", $"A route begins with a slash, as /v1/chat/completions or /v1/* do; found '{route}'.");
        }

        foreach (string address in Addresses)
            Network(address);
    }

    /// <summary>Whether a model may be used.</summary>
    public bool AllowsModel(string name) => Allows(Models, name, StringComparison.Ordinal);

    /// <summary>Whether a route may be used; routes are found whatever their case.</summary>
    public bool AllowsRoute(string path) => Allows(Routes, path, StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether a mode may be used.</summary>
    public bool AllowsMode(string name) => Allows(Modes, name, StringComparison.Ordinal);

    /// <summary>Whether a request may come from an address; one that is not known is nowhere.</summary>
    public bool AllowsAddress(IPAddress? address)
    {
        if (Addresses.Count == 0)
            return true;
        if (address is null)
            return false;
        if (address.IsIPv4MappedToIPv6)
            address = address.MapToIPv4();
        return Addresses.Any(text => Network(text).Contains(address));
    }

    /// <summary>Whether a list that is not empty holds a name, whole or by its beginning; an empty one holds all.</summary>
    internal static bool Allows(IReadOnlyList<string> list, string name, StringComparison comparison) =>
        list.Count == 0 || list.Any(entry => Matches(entry, name, comparison));

    /// <summary>Whether an entry names something whole, or by its beginning where it ends in a star.</summary>
    internal static bool Matches(string entry, string name, StringComparison comparison) =>
        entry.EndsWith('*') ? name.AsSpan().StartsWith(entry.AsSpan(0, entry.Length - 1), comparison) : string.Equals(entry, name, comparison);

    private static IPNetwork Network(string text)
    {
        if (IPAddress.TryParse(text, out IPAddress? one))
            return new IPNetwork(one, one.GetAddressBytes().Length * 8);
        return IPNetwork.TryParse(text, out IPNetwork network)
            ? network
            : throw FlintException.Caller("invalid_scope", $"An address range has the form 10.0.0.0/8 or 2001:db8::/32; found '{text}'.");
    }
}

[JsonSerializable(typeof(KeyScopes))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
internal sealed partial class ScopesJson : JsonSerializerContext;
