using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Flint.Bench;

/// <summary>What an engine's command prints, as tokens per second by test, under the names that <c>flint bench</c> gives them.</summary>
internal static partial class Speeds
{
    /// <summary>
    /// Runs a command: <c>flint bench --json</c> (one object), <c>llama-bench -o json</c> (an array), or <c>llama-batched-bench -pps</c> (a table
    /// with a row for each number of sequences that share a prompt).
    /// </summary>
    /// <exception cref="InvalidOperationException">It prints none of these.</exception>
    public static Dictionary<string, double> Of(string command)
    {
        string output = Machine.Output("/bin/sh", "-c \"exec " + command.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"");
        MatchCollection batches = Batch().Matches(output);
        if (batches.Count > 0)
            return new Dictionary<string, double>(batches.Select(Test));
        int start = output.IndexOfAny(['{', '[']);
        if (start < 0)
            throw new InvalidOperationException($"no JSON from: {command}\n{output}");
        JsonNode json = JsonNode.Parse(output[start..])!;
        return json is JsonArray tests
            ? new Dictionary<string, double>(tests.Select(test => Test(test!)))
            : new Dictionary<string, double>(json.AsObject().Where(pair => Name().IsMatch(pair.Key)).Select(pair => KeyValuePair.Create(pair.Key, (double)pair.Value!)));
    }

    private static KeyValuePair<string, double> Test(JsonNode test)
    {
        int prompt = (int)test["n_prompt"]!, decode = (int)test["n_gen"]!, depth = (int?)test["n_depth"] ?? 0;
        return KeyValuePair.Create((prompt > 0 ? $"pp{prompt}" : $"tg{decode}") + (depth > 0 ? $"@d{depth}" : ""), (double)test["avg_ts"]!);
    }

    private static KeyValuePair<string, double> Test(Match batch)
    {
        string sequences = batch.Groups["sequences"].Value;
        return KeyValuePair.Create(
            $"tg{batch.Groups["tokens"]}@d{batch.Groups["prompt"]}{(sequences == "1" ? "" : $"x{sequences}")}", double.Parse(batch.Groups["speed"].Value, CultureInfo.InvariantCulture));
    }

    // PP, TG, B, N_KV, T_PP, S_PP, T_TG, S_TG, T, S
    [GeneratedRegex(@"^\|\s*(?<prompt>\d+) \|\s*(?<tokens>\d+) \|\s*(?<sequences>\d+) \|\s*\d+ \|\s*[0-9.]+ \|\s*[0-9.]+ \|\s*[0-9.]+ \|\s*(?<speed>[0-9.]+) \|", RegexOptions.Multiline)]
    private static partial Regex Batch();

    [GeneratedRegex("^(pp|tg|train)[0-9]+(@d[0-9]+)?(x[0-9]+)?$")]
    private static partial Regex Name();
}
