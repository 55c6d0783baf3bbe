using System.Text.Json;
using Flint.App.Accounts;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary><c>GET /v1/models</c>, <c>GET /v1/models/{id}</c> and <c>GET /muse-code/models</c>; and the way from a name to a model for the other routes.</summary>
internal sealed class Models(IReadOnlyList<ServedModel> served, UpstreamModels upstreams)
{
    /// <summary>What requests may name: every model of this server's own, itself and with each of its adapters, and those of upstreams.</summary>
    public IEnumerable<NamedModel> All => served.SelectMany(model => model.Variants).Concat<NamedModel>(upstreams.All);

    /// <summary>Those of them that the key of a request may use.</summary>
    public IEnumerable<NamedModel> Of(HttpContext context) =>
        context.Features.Get<Key>() is { Scopes: { Models.Count: > 0 } scopes } ? All.Where(model => scopes.AllowsModel(model.Name)) : All;

    /// <summary>Whether there is a model of this name.</summary>
    public bool Has(string name) => All.Any(model => model.Name == name);

    /// <summary>The model of this name.</summary>
    /// <exception cref="ApiException">There is none.</exception>
    public NamedModel Find(string name) => All.FirstOrDefault(model => model.Name == name) ?? throw ApiException.NoModel(name);

    /// <summary>The model of this name, where the key of a request may use it.</summary>
    /// <exception cref="ApiException">There is none, or it may not.</exception>
    public NamedModel Find(HttpContext context, string name) => Of(context).FirstOrDefault(model => model.Name == name) ?? throw ApiException.NoModel(name);

    /// <summary>The model of this name, one of this server's own.</summary>
    /// <param name="name">The name.</param>
    /// <param name="lack">What an upstream does not do.</param>
    /// <exception cref="ApiException">There is none, or an upstream serves it.</exception>
    public ModelVariant FindOwn(string name, string lack) => Find(name) as ModelVariant ?? throw NotUpstream(name, "model", lack);

    /// <summary>A turn of a model of this server's own.</summary>
    /// <param name="turn">The turn.</param>
    /// <param name="parameter">The field that asks for what an upstream does not do.</param>
    /// <param name="lack">What that is.</param>
    /// <exception cref="ApiException">An upstream serves the model.</exception>
    public static EngineTurn Own(ChatTurn turn, string parameter, string lack) => turn as EngineTurn ?? throw NotUpstream(turn.Name, parameter, lack);

    /// <summary>The refusal of what an upstream does not do.</summary>
    /// <param name="name">The model.</param>
    /// <param name="parameter">The field that asks for it.</param>
    /// <param name="lack">What that is.</param>
    public static ApiException NotUpstream(string name, string parameter, string lack) =>
        ApiException.Unsupported(parameter, $"Unsupported value: '{parameter}'. The model '{ApiException.Shorten(name)}' is served by an upstream, which {lack}.");

    /// <summary>The model of this name, which may end in a mode's: <c>MODEL:contemplating</c>.</summary>
    /// <exception cref="ApiException">There is none.</exception>
    public (NamedModel Model, ReasoningMode? Mode) FindWithMode(string name)
    {
        int suffix = name.LastIndexOf(':');
        bool whole = suffix < 0 || Has(name); // an adapter may be named like a mode
        ReasoningMode? mode = whole ? null : ModePlan.Find(name[(suffix + 1)..]);
        return (Find(mode is null ? name : name[..suffix]), mode);
    }

    /// <summary>Lists the models that the key may use, in the shape of the API that is meant.</summary>
    public Task ListAsync(HttpContext context) => AnthropicMessages.IsMeant(context.Request)
        ? ApiJson.AnswerAsync(context, StatusCodes.Status200OK, Of(context), AnthropicMessages.WriteModels)
        : ListOpenAiAsync(context, Of(context));

    private static Task ListOpenAiAsync(HttpContext context, IEnumerable<NamedModel> models) => ApiJson.AnswerAsync(context, StatusCodes.Status200OK, models, static (writer, models) =>
    {
        writer.WriteStartObject();
        writer.WriteString("object"u8, "list"u8);
        writer.WriteStartArray("data"u8);
        foreach (NamedModel model in models)
            Write(writer, model);
        writer.WriteEndArray();
        writer.WriteEndObject();
    });

    /// <summary>Describes one model; one that the key may not use is not there.</summary>
    public Task GetAsync(HttpContext context)
    {
        string name = (string?)context.Request.RouteValues["id"] ?? "";
        return ApiJson.AnswerAsync(context, StatusCodes.Status200OK, Find(context, name), AnthropicMessages.IsMeant(context.Request) ? AnthropicMessages.WriteModel : Write);
    }

    /// <summary>Lists the models that the key may use as Muse Code reads them: what it is not told of a model it hides.</summary>
    public Task ListMuseAsync(HttpContext context) => ApiJson.AnswerAsync(context, StatusCodes.Status200OK, Of(context), static (writer, models) =>
    {
        writer.WriteStartObject();
        writer.WriteString("object"u8, "list"u8);
        writer.WriteStartArray("data"u8);
        foreach (NamedModel model in models)
            WriteMuse(writer, model);
        writer.WriteEndArray();
        writer.WriteEndObject();
    });

    private static void WriteMuse(Utf8JsonWriter writer, NamedModel model)
    {
        var upstream = model as UpstreamModel;
        bool reasons = (model as ModelVariant)?.Model.Dialect.MayReason ?? upstream!.Options.Reasoning != UpstreamReasoning.None;
        int? context = model.ContextLength;
        writer.WriteStartObject();
        writer.WriteString("id"u8, model.Name);
        writer.WriteString("object"u8, "model"u8);
        writer.WriteNumber("created"u8, model.Created.ToUnixTimeSeconds());
        writer.WriteString("owned_by"u8, upstream is null ? "flint"u8 : "upstream"u8);
        writer.WriteStartObject("metadata"u8);
        writer.WriteStartObject("muse-code"u8);
        writer.WriteString("name"u8, model.Name);
        writer.WriteString("release_date"u8, model.Created.UtcDateTime.ToString("yyyy-MM-dd"));
        writer.WriteBoolean("is_hidden"u8, false);
        writer.WriteBoolean("attachment"u8, false);
        writer.WriteBoolean("reasoning"u8, reasons);
        writer.WriteBoolean("temperature"u8, true);
        writer.WriteBoolean("tool_call"u8, true);
        writer.WriteStartObject("modalities"u8);
        foreach (string way in (string[])["input", "output"])
        {
            writer.WriteStartArray(way);
            writer.WriteStringValue("text"u8);
            writer.WriteEndArray();
        }

        writer.WriteEndObject();
        if (context is int length)
        {
            writer.WriteStartObject("limit"u8);
            writer.WriteNumber("context"u8, length);
            writer.WriteNumber("output"u8, Math.Min(length, upstream?.Options.MaxOutput ?? length));
            writer.WriteEndObject();
        }

        writer.WriteStartObject("variants"u8);
        foreach (string effort in reasons ? MuseProfile.Efforts : [])
        {
            writer.WriteStartObject(effort);
            writer.WriteString("reasoningEffort"u8, effort);
            writer.WriteEndObject();
        }

        writer.WriteEndObject();
        writer.WriteEndObject();
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter writer, NamedModel model)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, model.Name);
        writer.WriteString("object"u8, "model"u8);
        writer.WriteNumber("created"u8, model.Created.ToUnixTimeSeconds());
        writer.WriteString("owned_by"u8, model is UpstreamModel ? "upstream"u8 : "flint"u8);
        if (model.ContextLength is int length)
            writer.WriteNumber("max_model_len"u8, length);
        if (model.Parent is string parent)
            writer.WriteString("parent"u8, parent);
        writer.WriteEndObject();
    }
}
