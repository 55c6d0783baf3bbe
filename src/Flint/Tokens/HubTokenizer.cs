using System.Globalization;
using System.Text.Json;

namespace Flint.Tokens;

/// <summary>
/// The tokenizer of a model's folder on the Hugging Face hub as GGUF's metadata: byte-level BPE of <c>tokenizer.json</c>, or a
/// SentencePiece <c>tokenizer.model</c>; the special tokens and the chat template of <c>tokenizer_config.json</c>.
/// </summary>
public static class HubTokenizer
{
    private const string Prefix = "tokenizer.ggml.";
    private const int MaxFileBytes = 256 << 20;

    // What stands in tokenizer.json for each pre-tokenizer that is known here.
    private static readonly Dictionary<string, string> s_patterns = new(StringComparer.Ordinal)
    {
        [@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"] = "llama-bpe",
        [@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"] = "qwen2",
        [@"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"] = "tekken",
    };

    /// <summary>Reads a folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="vocabulary">Rows of the embedding; ids that the tokenizer leaves out are filled with unused tokens.</param>
    /// <exception cref="FlintException">Model file: there is no tokenizer of a known kind, it is damaged, or it is larger than the embedding.</exception>
    public static IReadOnlyList<KeyValuePair<string, object>> Metadata(string folder, int vocabulary)
    {
        try
        {
            using JsonDocument? config = Open(Path.Combine(folder, "tokenizer_config.json")), json = Open(Path.Combine(folder, "tokenizer.json"));
            string sentencePiece = Path.Combine(folder, "tokenizer.model");
            var tokens = new string?[vocabulary];
            int[] types = new int[vocabulary];
            var metadata = new List<KeyValuePair<string, object>>();
            void Add(string key, object value) => metadata.Add(new(key, value));
            (int Unknown, int Begin, int End, int Pad) ids = (-1, -1, -1, -1);
            if (json is not null && IsByteLevel(json.RootElement))
            {
                Add(Prefix + "model", "gpt2");
                Add(Prefix + "pre", PreTokenizerOf(folder, json.RootElement));
                ReadBpe(folder, json.RootElement, tokens, types);
                Add(Prefix + "merges", Merges(json.RootElement.GetProperty("model")));
            }
            else if (File.Exists(sentencePiece))
            {
                SentencePieceFile pieces = SentencePieceFile.Parse(ReadFile(sentencePiece), sentencePiece);
                Add(Prefix + "model", "llama");
                Add(Prefix + "pre", "default");
                float[] scores = new float[vocabulary];
                for (int id = 0; id < pieces.Tokens.Count; id++)
                {
                    Put(folder, tokens, types, id, pieces.Tokens[id], pieces.Types[id]);
                    scores[id] = pieces.Scores[id];
                }
                Add(Prefix + "scores", scores);
                if (!pieces.AddsSpacePrefix) Add(Prefix + "add_space_prefix", false);
                ids = pieces.Ids;
            }
            else
            {
                throw Fault(folder, "expected a tokenizer.json of byte-level BPE or a SentencePiece tokenizer.model; found neither");
            }
            AddSpecials(folder, json, config, tokens, types);
            for (int id = 0; id < vocabulary; id++)
            {
                if (tokens[id] is not null) continue;
                tokens[id] = $"[PAD{id}]";
                types[id] = (int)TokenType.Unused;
            }
            Add(Prefix + "tokens", (string[])tokens!);
            Add(Prefix + "token_type", types);
            AddIds(Add, config, tokens!, ids);
            if (Template(folder, config) is { } template) Add("tokenizer.chat_template", template);
            return metadata;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw Fault(folder, e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unreadable", $"{folder}: the tokenizer cannot be read: {e.Message}", e);
        }
    }

    private static bool IsByteLevel(JsonElement root) =>
        root.GetProperty("model").TryGetProperty("type", out JsonElement type) && type.GetString() == "BPE" && PreTokenizers(root).Any(p => TypeOf(p) == "ByteLevel");

    private static JsonElement[] PreTokenizers(JsonElement root)
    {
        if (!root.TryGetProperty("pre_tokenizer", out JsonElement pre) || pre.ValueKind != JsonValueKind.Object) return [];
        return TypeOf(pre) == "Sequence" ? [.. pre.GetProperty("pretokenizers").EnumerateArray()] : [pre];
    }

    private static string? TypeOf(JsonElement element) => element.GetProperty("type").GetString();

    private static string PreTokenizerOf(string folder, JsonElement root)
    {
        JsonElement[] parts = PreTokenizers(root);
        string[] patterns = [.. parts.Where(p => TypeOf(p) == "Split").Select(p => p.GetProperty("pattern").GetProperty("Regex").GetString()!)];
        bool words = parts.Any(p => TypeOf(p) == "ByteLevel" && (!p.TryGetProperty("use_regex", out JsonElement use) || use.GetBoolean()));
        if (parts.All(p => TypeOf(p) is "Split" or "ByteLevel"))
        {
            if (patterns.Length == 0 && words) return "gpt-2";
            if (patterns.Length == 1 && !words && s_patterns.TryGetValue(patterns[0], out string? name)) return name;
        }
        throw Fault(folder, $"the pre-tokenizer of tokenizer.json is none that is known here: {string.Join(", ", parts.Select(TypeOf))} {string.Join(" ", patterns)}");
    }

    private static void ReadBpe(string folder, JsonElement root, string?[] tokens, int[] types)
    {
        foreach (JsonProperty token in root.GetProperty("model").GetProperty("vocab").EnumerateObject())
            Put(folder, tokens, types, token.Value.GetInt32(), token.Name, (int)TokenType.Normal);
    }

    // Each "left right", or a list of both.
    private static string[] Merges(JsonElement model) =>
        [.. model.GetProperty("merges").EnumerateArray().Select(m => m.ValueKind == JsonValueKind.String ? m.GetString()! : $"{m[0].GetString()} {m[1].GetString()}")];

    private static void AddSpecials(string folder, JsonDocument? json, JsonDocument? config, string?[] tokens, int[] types)
    {
        void Add(int id, JsonElement token)
        {
            bool special = token.TryGetProperty("special", out JsonElement flag) && flag.GetBoolean();
            // What a SentencePiece vocabulary has already keeps its type: it tells bytes from controls.
            if (id < tokens.Length && tokens[id] is not null && types[id] != (int)TokenType.Normal) return;
            Put(folder, tokens, types, id, token.GetProperty("content").GetString()!, (int)(special ? TokenType.Control : TokenType.UserDefined));
        }

        if (json is not null && json.RootElement.TryGetProperty("added_tokens", out JsonElement list))
            foreach (JsonElement token in list.EnumerateArray()) Add(token.GetProperty("id").GetInt32(), token);
        if (config is not null && config.RootElement.TryGetProperty("added_tokens_decoder", out JsonElement map))
            foreach (JsonProperty token in map.EnumerateObject()) Add(int.Parse(token.Name, CultureInfo.InvariantCulture), token.Value);
    }

    private static void Put(string folder, string?[] tokens, int[] types, int id, string text, int type)
    {
        if ((uint)id >= (uint)tokens.Length) throw Fault(folder, $"token {id} is past the {tokens.Length} rows of the embedding");
        tokens[id] = text;
        types[id] = type;
    }

    private static void AddIds(Action<string, object> add, JsonDocument? config, string[] tokens, (int Unknown, int Begin, int End, int Pad) known)
    {
        foreach ((string name, string key, int fallback) in ((string, string, int)[])
            [("bos_token", "bos_token_id", known.Begin), ("eos_token", "eos_token_id", known.End), ("unk_token", "unknown_token_id", known.Unknown), ("pad_token", "padding_token_id", known.Pad)])
        {
            int id = Named(config, name) is { } text ? Array.IndexOf(tokens, text) : -1;
            if (id < 0) id = fallback;
            if (id >= 0 && id < tokens.Length) add(Prefix + key, (uint)id);
        }
        foreach (string flag in (string[])["add_bos_token", "add_eos_token"])
        {
            if (config is not null && config.RootElement.TryGetProperty(flag, out JsonElement value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False)
                add(Prefix + flag, value.GetBoolean());
        }
    }

    private static string? Named(JsonDocument? config, string name)
    {
        if (config is null || !config.RootElement.TryGetProperty(name, out JsonElement token)) return null;
        return token.ValueKind == JsonValueKind.Object ? token.GetProperty("content").GetString() : token.GetString();
    }

    // A file of its own, a text in the configuration, or a list of named ones.
    private static string? Template(string folder, JsonDocument? config)
    {
        string own = Path.Combine(folder, "chat_template.jinja");
        if (File.Exists(own)) return File.ReadAllText(own);
        if (config is null || !config.RootElement.TryGetProperty("chat_template", out JsonElement template)) return null;
        if (template.ValueKind != JsonValueKind.Array) return template.GetString();
        return template.EnumerateArray().Where(t => t.GetProperty("name").GetString() == "default").Select(t => t.GetProperty("template").GetString()).FirstOrDefault();
    }

    private static JsonDocument? Open(string path) => File.Exists(path) ? JsonDocument.Parse(ReadFile(path)) : null;

    private static byte[] ReadFile(string path) => new FileInfo(path).Length <= MaxFileBytes
        ? File.ReadAllBytes(path)
        : throw Fault(path, $"longer than {MaxFileBytes} bytes");

    private static FlintException Fault(string path, string what) => FlintException.File("hub_tokenizer", $"{path}: {what}.");
}
