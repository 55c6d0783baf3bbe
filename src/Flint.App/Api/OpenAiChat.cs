using System.Text.Json;
using Flint.App.Serving;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary><c>POST /v1/chat/completions</c>: messages in, a message out, whole or as a stream.</summary>
internal sealed class OpenAiChat(Models models)
{
    /// <summary>Answers a request.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        ChatRequest request;
        using (JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted))
            request = OpenAiChatRequest.Read(body.RootElement);
        (NamedModel model, ReasoningMode? mode) = models.FindWithMode(request.Generation.Model);
        var turn = ChatTurn.Create(context, request, model, mode);
        await ChatAnswer.RunAsync(context, turn, new OpenAiChatTeller(turn));
    }
}
