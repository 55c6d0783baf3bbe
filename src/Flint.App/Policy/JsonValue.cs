using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Flint.App.Policy;

/// <summary>A value of a JSON text, with its place in it.</summary>
internal sealed class JsonValue
{
    /// <summary>The deepest nesting that is read.</summary>
    public const int MaxDepth = 64;

    private const int ExactDigits = 28; // that a decimal surely holds
    private const double ExactInteger = 1L << 53; // up to which a double holds every integer

    // One level more than is read, so that it is here that a deeper one is noticed.
    private static readonly JsonReaderOptions Options = new() { MaxDepth = MaxDepth + 2 };

    private readonly string _text = "";
    private string? _canonical;

    private JsonValue(JsonTokenType type, long position, string text = "")
    {
        Type = type;
        Position = (int)position;
        _text = text;
    }

    /// <summary>What it is: the start of an object or an array, or a scalar.</summary>
    public JsonTokenType Type { get; }

    /// <summary>Where it begins, in bytes of UTF-8.</summary>
    public int Position { get; }

    /// <summary>A string's characters; a number as it is written.</summary>
    public string Text => _text;

    /// <summary>An array's values.</summary>
    public List<JsonValue> Items { get; } = [];

    /// <summary>An object's members, in their order; no name is there twice.</summary>
    public List<(string Name, JsonValue Value)> Members { get; } = [];

    /// <summary>The member of a name; null where there is none.</summary>
    public JsonValue? this[string name] => Members.Find(member => member.Name == name).Value;

    /// <summary>A number as exactly as it can be had.</summary>
    public (decimal? Exact, double Near) Number
    {
        get
        {
            double near = double.Parse(_text, NumberStyles.Float, CultureInfo.InvariantCulture);
            if (_text.Length <= ExactDigits && !_text.Contains('e', StringComparison.OrdinalIgnoreCase))
                return (decimal.Parse(_text, NumberStyles.Float, CultureInfo.InvariantCulture), near);
            return (Math.Abs(near) <= ExactInteger && near == Math.Floor(near) ? (decimal)near : null, near);
        }
    }

    /// <summary>Equal for values that JSON schemas call equal: numbers by their value, objects whatever the order of their members.</summary>
    public string Canonical => _canonical ??= Type switch
    {
        JsonTokenType.StartObject => "{" + string.Join(',', Members.OrderBy(member => member.Name, StringComparer.Ordinal).Select(member => JsonSerializer.Serialize(member.Name) + ":" + member.Value.Canonical)) + "}",
        JsonTokenType.StartArray => "[" + string.Join(',', Items.Select(item => item.Canonical)) + "]",
        JsonTokenType.String => JsonSerializer.Serialize(_text),
        JsonTokenType.Number => Number is { Exact: decimal exact } ? (exact / 1.0000000000000000000000000000m).ToString(CultureInfo.InvariantCulture) : Number.Near.ToString("R", CultureInfo.InvariantCulture),
        _ => Type.ToString(),
    };

    /// <summary>Reads a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="fault">Where it is no JSON, in UTF-16 units.</param>
    /// <param name="isUnclear">Whether it is JSON that two readers may understand differently, or that is nested deeper than <see cref="MaxDepth"/>.</param>
    /// <returns>Null where it is no such JSON.</returns>
    public static JsonValue? Read(string text, out int fault, out bool isUnclear)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        var reader = new Utf8JsonReader(bytes, Options);
        JsonValue? value = null;
        isUnclear = false;
        try
        {
            reader.Read();
            value = Build(ref reader, 0);
            isUnclear = value is null;
            if (value is not null)
                reader.Read(); // throws where more follows
        }
        catch (JsonException)
        {
            value = null;
        }
        catch (InvalidOperationException)
        {
            value = null; // half of a surrogate pair, which some readers take and some do not
            isUnclear = true;
        }

        fault = value is null ? Encoding.UTF8.GetCharCount(bytes, 0, (int)reader.BytesConsumed) : 0;
        return value;
    }

    // Null where it is unclear.
    private static JsonValue? Build(ref Utf8JsonReader reader, int depth)
    {
        if (depth > MaxDepth)
            return null;
        long at = reader.TokenStartIndex;
        switch (reader.TokenType)
        {
            case JsonTokenType.String:
                return new JsonValue(JsonTokenType.String, at, reader.GetString()!);
            case JsonTokenType.Number:
                return new JsonValue(JsonTokenType.Number, at, Encoding.ASCII.GetString(reader.ValueSpan));
            case JsonTokenType.StartArray:
                var array = new JsonValue(JsonTokenType.StartArray, at);
                while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                {
                    if (Build(ref reader, depth + 1) is not { } item)
                        return null;
                    array.Items.Add(item);
                }

                return array;
            case JsonTokenType.StartObject:
                return BuildObject(ref reader, depth, at);
            default:
                return new JsonValue(reader.TokenType, at); // true, false, null
        }
    }

    private static JsonValue? BuildObject(ref Utf8JsonReader reader, int depth, long at)
    {
        var value = new JsonValue(JsonTokenType.StartObject, at);
        var names = new HashSet<string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (!names.Add(name) || Build(ref reader, depth + 1) is not { } member)
                return null;
            value.Members.Add((name, member));
        }

        return value;
    }
}
