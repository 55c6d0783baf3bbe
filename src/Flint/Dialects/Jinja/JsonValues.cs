using System.Collections;
using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>Turns JSON and plain .NET values into template values, as Python's <c>json.loads</c> reads them.</summary>
internal static class JsonValues
{
    /// <exception cref="FlintException">Caller: a string that is no Unicode text.</exception>
    public static object? From(JsonElement json)
    {
        try
        {
            return Convert(json);
        }
        catch (InvalidOperationException e)
        {
            throw new FlintException(FaultSide.Caller, "invalid_text", "a JSON string holds half a surrogate pair", e);
        }
    }

    private static object? Convert(JsonElement json)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.Object:
                var dict = new PyDict();
                foreach (JsonProperty property in json.EnumerateObject())
                    dict[property.Name] = Convert(property.Value);
                return dict;
            case JsonValueKind.Array:
                return PySequence.Make([.. json.EnumerateArray().Select(Convert)], false);
            case JsonValueKind.String:
                return json.GetString();
            case JsonValueKind.Number:
                return Number(json.GetRawText());
            case JsonValueKind.True or JsonValueKind.False:
                return Integers.Box(json.ValueKind == JsonValueKind.True);
            default:
                return null;
        }
    }

    /// <summary>JSON text; null when it is not JSON.</summary>
    public static bool TryParse(string text, out object? value)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            value = Convert(document.RootElement);
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            value = null;
            return false;
        }
    }

    /// <exception cref="FlintException">Caller: a value of a type that templates do not know.</exception>
    public static object? From(object? value) => value switch
    {
        null or string or double => value,
        bool flag => Integers.Box(flag),
        sbyte or byte or short or ushort or int or uint or long => Integers.Box(System.Convert.ToInt64(value, CultureInfo.InvariantCulture)),
        ulong number => Integers.Box(new BigInteger(number)),
        float or decimal => System.Convert.ToDouble(value, CultureInfo.InvariantCulture),
        JsonElement element => From(element),
        JsonNode node => From(node),
        IDictionary map => PyDict.From(map.Cast<DictionaryEntry>().Select(e => new KeyValuePair<object?, object?>(From(e.Key), From(e.Value)))),
        IEnumerable items => PySequence.Make([.. items.Cast<object?>().Select(From)], false),
        _ => throw FlintException.Caller("invalid_template_variable", $"a template variable may not be a {value.GetType().Name}"),
    };

    private static object? From(JsonNode? node)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        switch (node)
        {
            case JsonObject map:
                var dict = new PyDict();
                foreach (KeyValuePair<string, JsonNode?> entry in map)
                    dict[entry.Key] = From(entry.Value);
                return dict;
            case JsonArray items:
                return PySequence.Make([.. items.Select(From)], false);
            case null:
                return null;
            default:
                using (JsonDocument document = JsonDocument.Parse(node.ToJsonString()))
                    return From(document.RootElement);
        }
    }

    private static object Number(string text) => text.AsSpan().IndexOfAny(".eE") >= 0
        ? double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture)
        : text.Length <= 18 ? Integers.Box(long.Parse(text, CultureInfo.InvariantCulture))
        : text.Length <= TemplateLimits.IntegerDigits ? Integers.Box(BigInteger.Parse(text, CultureInfo.InvariantCulture))
        : throw TemplateFault.Limit($"an integer may have {TemplateLimits.IntegerDigits} digits");
}
