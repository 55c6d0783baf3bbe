using System.Text.Json;
using Flint.App.Serving;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary><c>GET /v1/models</c> and <c>GET /v1/models/{id}</c>; and the way from a name to a model for the other routes.</summary>
internal sealed class Models(IReadOnlyList<ServedModel> served)
{
    /// <summary>What requests may name: every model, itself and with each of its adapters.</summary>
    public IEnumerable<ModelVariant> All => served.SelectMany(model => model.Variants);

    /// <summary>Whether there is a model of this name.</summary>
    public bool Has(string name) => All.Any(variant => variant.Name == name);

    /// <summary>The model of this name.</summary>
    /// <exception cref="ApiException">There is none.</exception>
    public ModelVariant Find(string name) => All.FirstOrDefault(variant => variant.Name == name) ?? throw ApiException.NoModel(name);

    /// <summary>The model of this name, which may end in a mode's: <c>MODEL:contemplating</c>.</summary>
    /// <exception cref="ApiException">There is none.</exception>
    public (ModelVariant Variant, ReasoningMode? Mode) FindWithMode(string name)
    {
        int suffix = name.LastIndexOf(':');
        bool whole = suffix < 0 || Has(name); // an adapter may be named like a mode
        ReasoningMode? mode = whole ? null : ModePlan.Find(name[(suffix + 1)..]);
        return (Find(mode is null ? name : name[..suffix]), mode);
    }

    /// <summary>Lists the models, in the shape of the API that is meant.</summary>
    public Task ListAsync(HttpContext context) => AnthropicMessages.IsMeant(context.Request)
        ? ApiJson.AnswerAsync(context, StatusCodes.Status200OK, All, AnthropicMessages.WriteModels)
        : ListOpenAiAsync(context);

    private Task ListOpenAiAsync(HttpContext context) => ApiJson.AnswerAsync(context, StatusCodes.Status200OK, All, static (writer, variants) =>
    {
        writer.WriteStartObject();
        writer.WriteString("object"u8, "list"u8);
        writer.WriteStartArray("data"u8);
        foreach (ModelVariant variant in variants)
            Write(writer, variant);
        writer.WriteEndArray();
        writer.WriteEndObject();
    });

    /// <summary>Describes one model.</summary>
    public Task GetAsync(HttpContext context)
    {
        string name = (string?)context.Request.RouteValues["id"] ?? "";
        return ApiJson.AnswerAsync(context, StatusCodes.Status200OK, Find(name), AnthropicMessages.IsMeant(context.Request) ? AnthropicMessages.WriteModel : Write);
    }

    private static void Write(Utf8JsonWriter writer, ModelVariant variant)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, variant.Name);
        writer.WriteString("object"u8, "model"u8);
        writer.WriteNumber("created"u8, variant.Created.ToUnixTimeSeconds());
        writer.WriteString("owned_by"u8, "flint"u8);
        writer.WriteNumber("max_model_len"u8, variant.Model.ContextLength);
        if (variant.Adapter is not null)
            writer.WriteString("parent"u8, variant.Model.Name);
        writer.WriteEndObject();
    }
}
