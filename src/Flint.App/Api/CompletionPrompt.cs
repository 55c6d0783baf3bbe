using System.Text.Json;

namespace Flint.App.Api;

/// <summary>A prompt as the caller gave it: text, or token ids.</summary>
internal readonly record struct CompletionPrompt(string? Text, int[]? Tokens)
{
    /// <summary>Reads the field that holds them: a string, an array of strings, an array of tokens, or an array of token arrays.</summary>
    /// <param name="body">Has the field.</param>
    /// <param name="name">Its name.</param>
    /// <param name="most">How many there may be.</param>
    /// <exception cref="ApiException">The field is absent, or has a wrong type or value.</exception>
    public static List<CompletionPrompt> ReadAll(JsonFields body, string name, int most)
    {
        const string expected = "a string, an array of strings, an array of tokens, or an array of token arrays";
        if (!body.TryGet(name, out JsonElement value))
            throw ApiException.Missing(name);
        if (value.ValueKind == JsonValueKind.String)
            return [new(JsonFields.Text(value, name), null)];
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(name, expected, value);
        JsonFields.Array(value, name, int.MaxValue, minLength: 1);
        if (value[0].ValueKind == JsonValueKind.Number)
            return [new(null, ReadTokens(value, name))];

        JsonFields.Array(value, name, most);
        var prompts = new List<CompletionPrompt>();
        bool texts = value[0].ValueKind == JsonValueKind.String;
        foreach (JsonElement one in value.EnumerateArray())
        {
            string path = $"{name}[{prompts.Count}]";
            if (!texts && one.ValueKind != JsonValueKind.Array)
                throw JsonFields.WrongType(name, expected, value);
            prompts.Add(texts ? new(JsonFields.Text(one, path), null) : new(null, ReadTokens(one, path)));
        }

        return prompts;
    }

    private static int[] ReadTokens(JsonElement array, string path)
    {
        JsonFields.Array(array, path, int.MaxValue, minLength: 1);
        int[] tokens = new int[array.GetArrayLength()];
        int index = 0;
        foreach (JsonElement one in array.EnumerateArray())
        {
            if (one.ValueKind != JsonValueKind.Number || !one.TryGetInt32(out int token) || token < 0)
                throw JsonFields.WrongType($"{path}[{index}]", "a token id", one);
            tokens[index++] = token;
        }

        return tokens;
    }
}
