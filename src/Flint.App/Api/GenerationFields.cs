using System.Globalization;
using System.Text.Json;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>The fields that chat and plain completions share: how to draw, when to stop, how many, and how to send it.</summary>
internal sealed record GenerationFields
{
    /// <summary>The model asked for.</summary>
    public required string Model { get; init; }

    /// <summary>How tokens are drawn.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <summary>Strings that end the text.</summary>
    public required IReadOnlyList<string> Stop { get; init; }

    /// <summary>Choices per prompt.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>Whether to answer with server-sent events.</summary>
    public required bool Stream { get; init; }

    /// <summary>Whether the stream ends with a chunk that tells the usage.</summary>
    public bool StreamUsage { get; init; }

    /// <summary>Whether to go on past the model's end-of-generation tokens.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>How long the answer may take; null for no limit.</summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>Reads the shared fields of a request's body.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static GenerationFields Read(JsonFields body)
    {
        string model = body.RequiredText("model");
        bool stream = body.Flag("stream") ?? false;
        bool streamUsage = false;
        if (body.Object("stream_options") is JsonFields options)
        {
            if (!stream)
                throw ApiException.Invalid("stream_options", "invalid_value", "The 'stream_options' parameter is only allowed when 'stream' is enabled.");
            streamUsage = options.Flag("include_usage") ?? false;
        }

        return new GenerationFields
        {
            Model = model,
            Stream = stream,
            StreamUsage = streamUsage,
            Choices = body.Int("n", 1, ApiLimits.MaxChoices) ?? 1,
            Stop = ReadStop(body, "stop"),
            IgnoreEos = body.Flag("ignore_eos") ?? false,
            Sampling = ReadSampling(body, new SamplingOptions()),
            Deadline = ReadDeadline(body),
        };
    }

    /// <summary>Reads how long an answer may take.</summary>
    /// <returns>Null for no limit.</returns>
    /// <exception cref="ApiException">The field has a wrong type or value.</exception>
    public static TimeSpan? ReadDeadline(JsonFields body) =>
        body.Number("deadline_seconds", 0.001, ApiLimits.MaxDeadlineSeconds) is double seconds ? TimeSpan.FromSeconds(seconds) : null;

    /// <summary>Reads how tokens are drawn.</summary>
    /// <param name="body">Holds the fields.</param>
    /// <param name="defaults">What holds for absent ones.</param>
    /// <param name="repetition">The field of the repetition penalty.</param>
    /// <exception cref="ApiException">A field has a wrong type or value.</exception>
    public static SamplingOptions ReadSampling(JsonFields body, SamplingOptions defaults, string repetition = "repetition_penalty") => new()
    {
        Temperature = (float)(body.Number("temperature", 0, 2) ?? defaults.Temperature),
        TopP = (float)(body.Number("top_p", 0, 1) ?? defaults.TopP),
        TopK = Math.Max(0, body.Int("top_k", -1, int.MaxValue) ?? defaults.TopK),
        MinP = (float)(body.Number("min_p", 0, 1) ?? defaults.MinP),
        TypicalP = (float)(body.Number("typical_p", 0, 1) ?? defaults.TypicalP),
        FrequencyPenalty = (float)(body.Number("frequency_penalty", -2, 2) ?? defaults.FrequencyPenalty),
        PresencePenalty = (float)(body.Number("presence_penalty", -2, 2) ?? defaults.PresencePenalty),
        RepetitionPenalty = (float)(body.Number(repetition, 0.01, 10) ?? defaults.RepetitionPenalty),
        PenaltyWindow = defaults.PenaltyWindow,
        LogitBias = ReadLogitBias(body),
        Seed = body.Long("seed") is long seed ? unchecked((ulong)seed) : defaults.Seed,
    };

    /// <summary>Reads stop strings: one, or an array of them.</summary>
    /// <exception cref="ApiException">The field has a wrong type or value.</exception>
    public static List<string> ReadStop(JsonFields body, string name)
    {
        var stops = new List<string>();
        if (!body.TryGet(name, out JsonElement value))
            return stops;
        if (value.ValueKind == JsonValueKind.String)
        {
            Add(value, body.PathOf(name));
            return stops;
        }

        if (value.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(body.PathOf(name), "a string or an array of strings", value);
        int index = 0;
        foreach (JsonElement one in JsonFields.Array(value, body.PathOf(name), ApiLimits.MaxStops).EnumerateArray())
            Add(one, $"{body.PathOf(name)}[{index++}]");
        return stops;

        void Add(JsonElement element, string path)
        {
            string text = JsonFields.Text(element, path);
            int bytes = System.Text.Encoding.UTF8.GetByteCount(text);
            if (bytes == 0)
                throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': a stop string has at least one character.");
            if (bytes > GenerationRequest.MaxStopBytes)
                throw ApiException.Invalid(path, "string_above_max_length", $"Invalid '{path}': string too long. Expected at most {GenerationRequest.MaxStopBytes} bytes of UTF-8, but got {bytes} instead.");
            stops.Add(text);
        }
    }

    private static Dictionary<int, float>? ReadLogitBias(JsonFields body)
    {
        if (body.Object("logit_bias") is not JsonFields map)
            return null;
        var bias = new Dictionary<int, float>();
        foreach (JsonProperty entry in map.Element.EnumerateObject())
        {
            if (bias.Count == ApiLimits.MaxLogitBiases)
                throw ApiException.Invalid("logit_bias", "object_above_max_properties", $"Invalid 'logit_bias': more than {ApiLimits.MaxLogitBiases} entries.");
            if (!int.TryParse(entry.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int token))
                throw ApiException.Invalid("logit_bias", "invalid_value", $"Invalid key in 'logit_bias': '{ApiException.Shorten(entry.Name)}'. Expected a token id.");
            if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetDouble(out double amount))
                throw JsonFields.WrongType($"logit_bias.{token}", "a decimal", entry.Value);
            if (amount is < -100 or > 100)
                throw ApiException.Invalid("logit_bias", "invalid_value", $"Invalid value in 'logit_bias' for token {token}: expected -100 to 100, but got {ApiException.Shorten(entry.Value.GetRawText())} instead.");
            bias[token] = (float)amount;
        }

        return bias;
    }
}
