using System.Collections;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Formats;
using Flint.Weights;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary><c>GET /api/tags</c>, <c>GET /api/ps</c> and <c>POST /api/show</c>; and the way from Ollama's names to models.</summary>
internal sealed class OllamaModels(Models models)
{
    private const string Latest = ":latest";

    // A server's models stay; clients expect a time at which they would not.
    private static readonly DateTime Never = new(9999, 12, 31, 0, 0, 0, DateTimeKind.Utc);

    /// <summary>The model of a name, which may end in <c>:latest</c>, and its mode.</summary>
    /// <exception cref="ApiException">There is none.</exception>
    public (NamedModel Model, ReasoningMode? Mode) Find(string name) =>
        models.FindWithMode(!models.Has(name) && name.EndsWith(Latest, StringComparison.Ordinal) ? name[..^Latest.Length] : name);

    /// <summary>Lists the models that the key may use.</summary>
    public Task TagsAsync(HttpContext context) => ListAsync(context, static (writer, model) => writer.WriteString("modified_at"u8, model.Created.UtcDateTime));

    /// <summary>Lists those that are loaded: all of them.</summary>
    public Task RunningAsync(HttpContext context) => ListAsync(context, static (writer, model) =>
    {
        writer.WriteString("expires_at"u8, Never);
        writer.WriteNumber("size_vram"u8, 0);
        writer.WriteNumber("context_length"u8, model.ContextLength ?? 0);
    });

    /// <summary>Describes one model; one that the key may not use is not there.</summary>
    public async Task ShowAsync(HttpContext context)
    {
        string name;
        bool verbose;
        using (JsonDocument root = await RequestBody.ReadAsync(context.Request, context.RequestAborted))
        {
            var body = new JsonFields(root.RootElement, "");
            name = body.Text("model") ?? body.Text("name") ?? throw ApiException.Missing("model");
            verbose = body.Flag("verbose") ?? false;
        }

        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, (Model: models.Find(context, Find(name).Model.Name), verbose), static (writer, shown) => WriteModel(writer, shown.Model, shown.verbose));
    }

    private Task ListAsync(HttpContext context, Action<Utf8JsonWriter, NamedModel> more) => ApiJson.AnswerAsync(context, StatusCodes.Status200OK, (Models: models.Of(context), more), static (writer, list) =>
    {
        writer.WriteStartObject();
        writer.WriteStartArray("models"u8);
        foreach (NamedModel model in list.Models)
        {
            string name = model.Name.Contains(':') ? model.Name : model.Name + Latest;
            writer.WriteStartObject();
            writer.WriteString("name"u8, name);
            writer.WriteString("model"u8, name);
            writer.WriteNumber("size"u8, (model as ModelVariant)?.Model.Model.File.FileBytes ?? 0);
            writer.WriteString("digest"u8, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(model.Fingerprint))));
            WriteDetails(writer, model);
            list.more(writer, model);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    });

    // Of a model of an upstream's, no more is known than how it is asked.
    private static void WriteModel(Utf8JsonWriter writer, NamedModel model, bool verbose)
    {
        var variant = model as ModelVariant;
        GgufMetadata? metadata = variant?.Model.Model.File.Metadata;
        string template = metadata?.GetOr("tokenizer.chat_template", "") ?? "";
        bool reasons = variant?.Model.Dialect.MayReason ?? (model as UpstreamModel)?.Options.Reasoning != UpstreamReasoning.None;
        writer.WriteStartObject();
        writer.WriteString("modelfile"u8, $"FROM {model.Name}\n");
        writer.WriteString("parameters"u8, model.ContextLength is int length ? $"num_ctx {length}" : "");
        writer.WriteString("template"u8, template);
        writer.WriteString("license"u8, metadata?.GetOr("general.license", "") ?? "");
        writer.WriteString("modified_at"u8, model.Created.UtcDateTime);
        WriteDetails(writer, model);
        writer.WriteStartObject("model_info"u8);
        if (variant is not null)
            WriteMetadata(writer, variant, verbose);
        writer.WriteEndObject();
        writer.WriteStartArray("capabilities"u8);
        writer.WriteStringValue("completion"u8);
        if (variant is null || template.Contains("tools", StringComparison.Ordinal))
            writer.WriteStringValue("tools"u8);
        if (reasons)
            writer.WriteStringValue("thinking"u8);
        if (metadata is not null && metadata.Contains($"{metadata.Architecture}.pooling_type"))
            writer.WriteStringValue("embedding"u8);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void WriteMetadata(Utf8JsonWriter writer, ModelVariant variant, bool verbose)
    {
        writer.WriteNumber("general.parameter_count"u8, Parameters(variant));
        foreach ((string key, object value) in variant.Model.Model.File.Metadata)
        {
            writer.WritePropertyName(key);
            WriteValue(writer, value is Array && !verbose ? null : value);
        }
    }

    private static void WriteDetails(Utf8JsonWriter writer, NamedModel model)
    {
        var variant = model as ModelVariant;
        GgufFile? file = variant?.Model.Model.File;
        WeightType? type = file?.Tensors.GroupBy(tensor => tensor.Type).MaxBy(group => group.Sum(tensor => tensor.Elements))!.Key;
        string family = file?.Metadata.Architecture ?? "";
        writer.WriteStartObject("details"u8);
        writer.WriteString("parent_model"u8, model.Parent ?? "");
        writer.WriteString("format"u8, file is null ? ""u8 : "gguf"u8);
        writer.WriteString("family"u8, family);
        writer.WriteStartArray("families"u8);
        if (family.Length > 0)
            writer.WriteStringValue(family);
        writer.WriteEndArray();
        writer.WriteString("parameter_size"u8, variant is null ? "" : Size(Parameters(variant)));
        writer.WriteString("quantization_level"u8, type is WeightType known ? WeightTypes.Name(known) : "");
        writer.WriteEndObject();
    }

    private static long Parameters(ModelVariant variant) => variant.Model.Model.File.Tensors.Sum(tensor => tensor.Elements);

    private static string Size(long count) => count switch
    {
        >= 1_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{count / 1e9:0.0}B"),
        >= 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{count / 1e6:0.00}M"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{count / 1e3:0.00}K"),
    };

    private static void WriteValue(Utf8JsonWriter writer, object? value)
    {
        switch (value)
        {
            case string text:
                writer.WriteStringValue(text);
                break;
            case bool flag:
                writer.WriteBooleanValue(flag);
                break;
            case IEnumerable array:
                writer.WriteStartArray();
                foreach (object? one in array)
                    WriteValue(writer, one);
                writer.WriteEndArray();
                break;
            case float or double when double.IsFinite(Convert.ToDouble(value, CultureInfo.InvariantCulture)):
                writer.WriteNumberValue(Convert.ToDouble(value, CultureInfo.InvariantCulture));
                break;
            case ulong large:
                writer.WriteNumberValue(large);
                break;
            case null or float or double:
                writer.WriteNullValue();
                break;
            default:
                writer.WriteNumberValue(Convert.ToInt64(value, CultureInfo.InvariantCulture));
                break;
        }
    }
}
