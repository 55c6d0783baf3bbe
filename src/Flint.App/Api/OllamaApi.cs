using System.Text.Json;
using Flint.App.Serving;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// Ollama's API: <c>POST /api/chat</c> and <c>POST /api/generate</c>, lines of JSON or one object, and <c>GET /api/version</c>. The field
/// <c>mode</c>, or the mode in a model's name, goes before the field <c>think</c>.
/// </summary>
internal sealed class OllamaApi(OllamaModels models)
{
    /// <summary>How this API says that a request failed.</summary>
    public static readonly ErrorShape Errors = new(WriteError) { Form = StreamForm.Lines };

    // Of Ollama's API as it is spoken here: clients compare it with what they need.
    private const string Version = "0.12.11";

    /// <summary>Whether a request is one to this API.</summary>
    public static bool IsMeant(HttpRequest request) => request.Path.StartsWithSegments("/api");

    /// <summary>Answers a conversation.</summary>
    public Task ChatAsync(HttpContext context) => AnswerAsync(context, OllamaRequest.ReadChat, isChat: true);

    /// <summary>Answers a prompt.</summary>
    public Task GenerateAsync(HttpContext context) => AnswerAsync(context, OllamaRequest.ReadGenerate, isChat: false);

    /// <summary>Tells the version.</summary>
    public static Task VersionAsync(HttpContext context) => ApiJson.AnswerAsync(context, StatusCodes.Status200OK, Version, static (writer, version) =>
    {
        writer.WriteStartObject();
        writer.WriteString("version"u8, version);
        writer.WriteEndObject();
    });

    private async Task AnswerAsync(HttpContext context, Func<JsonElement, OllamaRequest> read, bool isChat)
    {
        OllamaRequest request;
        using (JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted))
            request = read(body.RootElement);
        (NamedModel model, ReasoningMode? byName) = models.Find(request.Model);
        if (request.Chat is not null)
        {
            var turn = ChatTurn.Create(context, request.Chat.Under(request.Chat.ModeOf(byName)), model, byName);
            await ChatAnswer.RunAsync(context, turn, new OllamaTeller(turn, request.Model, isChat));
            return;
        }

        var meter = RequestMeter.Of(context);
        meter.SetModel(model.Name);
        await meter.SettleAsync(StatusCodes.Status200OK, "load");
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, (request.Model, isChat), static (writer, loaded) => OllamaTeller.WriteLoaded(writer, loaded.Model, loaded.isChat));
    }

    private static void WriteError(Utf8JsonWriter writer, (ApiException Error, string? RequestId) failure)
    {
        writer.WriteStartObject();
        writer.WriteString("error"u8, failure.Error.MessageWithPath);
        writer.WriteEndObject();
    }
}
