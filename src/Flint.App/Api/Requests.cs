using Flint.App.Accounts;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary><c>GET /v1/requests</c> and <c>POST /v1/requests/{id}/end_thinking</c>: a key's own requests while they are answered.</summary>
internal sealed class Requests(RunningRequests running)
{
    /// <summary>Lists them.</summary>
    public Task ListAsync(HttpContext context) => ApiJson.AnswerAsync(context, StatusCodes.Status200OK, running.Of(KeyOf(context)), static (writer, requests) =>
    {
        writer.WriteStartObject();
        writer.WriteString("object"u8, "list"u8);
        writer.WriteStartArray("data"u8);
        foreach (RunningRequest request in requests)
        {
            writer.WriteStartObject();
            writer.WriteString("id"u8, request.Id);
            writer.WriteString("object"u8, "request"u8);
            writer.WriteString("endpoint"u8, request.Path);
            writer.WriteNumber("created"u8, request.Created);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    });

    /// <summary>Has the model of a request end its thoughts at its next token, and answer from what it has.</summary>
    public Task EndThinkingAsync(HttpContext context)
    {
        string id = (string?)context.Request.RouteValues["id"] ?? "";
        RunningRequest request = running.Find(id, KeyOf(context))
            ?? throw ApiException.Request(StatusCodes.Status404NotFound, "request_not_found", $"No request '{ApiException.Shorten(id)}' of this key is being answered.");
        if (!request.EndThinking())
            throw ApiException.Request(StatusCodes.Status409Conflict, "not_thinking", $"The request '{ApiException.Shorten(id)}' has no thoughts now that could be ended.");
        return ApiJson.AnswerAsync(context, StatusCodes.Status200OK, request.Id, static (writer, ended) =>
        {
            writer.WriteStartObject();
            writer.WriteString("id"u8, ended);
            writer.WriteString("object"u8, "request"u8);
            writer.WriteBoolean("ends_thinking"u8, true);
            writer.WriteEndObject();
        });
    }

    private static long? KeyOf(HttpContext context) => context.Features.Get<Key>()?.Id;
}
