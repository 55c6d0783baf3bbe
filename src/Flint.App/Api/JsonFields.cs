using System.Text;
using System.Text.Json;

namespace Flint.App.Api;

/// <summary>
/// Reads the fields of one JSON object of a request. A field that is absent or null is null; one of a wrong type or out of
/// range is refused with its path. Fields that nobody asks for are passed over, as the OpenAI API does.
/// </summary>
/// <param name="Element">The object.</param>
/// <param name="Path">Its path in the body; empty for the body itself.</param>
internal readonly record struct JsonFields(JsonElement Element, string Path)
{
    /// <summary>The path of a field of this object.</summary>
    public string PathOf(string name) => Path.Length == 0 ? name : $"{Path}.{name}";

    /// <summary>Reads a value as an object.</summary>
    public static JsonFields Object(JsonElement value, string path)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw WrongType(path, "an object", value);
        return new JsonFields(value, path);
    }

    /// <summary>The field's value, where it is present and not null.</summary>
    public bool TryGet(string name, out JsonElement value) =>
        Element.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>An integer in a range.</summary>
    public int? Int(string name, int min, int max)
    {
        long? value = Long(name);
        if (value < min)
            throw ApiException.Invalid(PathOf(name), "integer_below_min_value", $"Invalid '{PathOf(name)}': integer below minimum value. Expected a value >= {min}, but got {value} instead.");
        if (value > max)
            throw ApiException.Invalid(PathOf(name), "integer_above_max_value", $"Invalid '{PathOf(name)}': integer above maximum value. Expected a value <= {max}, but got {value} instead.");
        return (int?)value;
    }

    /// <summary>A 64-bit integer.</summary>
    public long? Long(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        if (value.ValueKind == JsonValueKind.Number)
        {
            if (value.TryGetInt64(out long integer))
                return integer;
            if (value.TryGetDouble(out double number) && Math.Abs(number) <= 1L << 53 && Math.Floor(number) == number)
                return (long)number;
        }

        throw WrongType(PathOf(name), "an integer", value);
    }

    /// <summary>A number in a range.</summary>
    public double? Number(string name, double min, double max)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number))
            throw WrongType(PathOf(name), "a decimal", value);
        if (number < min)
            throw ApiException.Invalid(PathOf(name), "decimal_below_min_value", $"Invalid '{PathOf(name)}': decimal below minimum value. Expected a value >= {min}, but got {ApiException.Shorten(value.GetRawText())} instead.");
        if (number > max)
            throw ApiException.Invalid(PathOf(name), "decimal_above_max_value", $"Invalid '{PathOf(name)}': decimal above maximum value. Expected a value <= {max}, but got {ApiException.Shorten(value.GetRawText())} instead.");
        return number;
    }

    /// <summary>A boolean.</summary>
    public bool? Flag(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw WrongType(PathOf(name), "a boolean", value),
        };
    }

    /// <summary>A string.</summary>
    public string? Text(string name) => TryGet(name, out JsonElement value) ? Text(value, PathOf(name)) : null;

    /// <summary>A string that must be there.</summary>
    public string RequiredText(string name) => Text(name) ?? throw ApiException.Missing(PathOf(name));

    /// <summary>One of a few strings.</summary>
    public string? Choice(string name, params ReadOnlySpan<string> values)
    {
        string? value = Text(name);
        if (value is null || values.Contains(value))
            return value;
        throw InvalidChoice(PathOf(name), value, values);
    }

    /// <summary>An object.</summary>
    public JsonFields? Object(string name) => TryGet(name, out JsonElement value) ? Object(value, PathOf(name)) : null;

    /// <summary>An array of bounded length.</summary>
    public JsonElement? Array(string name, int maxLength, int minLength = 0) =>
        TryGet(name, out JsonElement value) ? Array(value, PathOf(name), maxLength, minLength) : null;

    /// <summary>Reads a value as a string.</summary>
    public static string Text(JsonElement value, string path)
    {
        if (value.ValueKind != JsonValueKind.String)
            throw WrongType(path, "a string", value);
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            // An escape such as \ud800 without its other half: JSON's grammar allows it, Unicode does not.
            throw ApiException.Invalid(path, "invalid_string", $"Invalid '{path}': the string holds half of a surrogate pair.");
        }
    }

    /// <summary>Reads a value as an array of bounded length.</summary>
    public static JsonElement Array(JsonElement value, string path, int maxLength, int minLength = 0)
    {
        if (value.ValueKind != JsonValueKind.Array)
            throw WrongType(path, "an array", value);
        int length = value.GetArrayLength();
        if (length < minLength)
            throw ApiException.Invalid(path, "empty_array", $"Invalid '{path}': empty array. Expected an array with minimum length {minLength}, but got an empty array instead.");
        if (length > maxLength)
            throw ApiException.Invalid(path, "array_above_max_length", $"Invalid '{path}': array too long. Expected an array with maximum length {maxLength}, but got an array with length {length} instead.");
        return value;
    }

    /// <summary>The refusal of a string that is none of the known ones.</summary>
    public static ApiException InvalidChoice(string path, string value, ReadOnlySpan<string> values)
    {
        var known = new StringBuilder();
        foreach (string one in values)
            known.Append(known.Length == 0 ? "'" : ", '").Append(one).Append('\'');
        return ApiException.Invalid(path, "invalid_value", $"Invalid value: '{ApiException.Shorten(value)}'. Supported values are: {known}.");
    }

    /// <summary>The refusal of a value of a wrong type.</summary>
    public static ApiException WrongType(string path, string expected, JsonElement found)
    {
        string kind = found.ValueKind switch
        {
            JsonValueKind.String => "a string",
            JsonValueKind.Number => found.TryGetInt64(out _) ? "an integer" : "a decimal",
            JsonValueKind.True or JsonValueKind.False => "a boolean",
            JsonValueKind.Array => "an array",
            JsonValueKind.Object => "an object",
            _ => "null",
        };
        return ApiException.Invalid(path, "invalid_type", $"Invalid type for '{path}': expected {expected}, but got {kind} instead.");
    }
}
