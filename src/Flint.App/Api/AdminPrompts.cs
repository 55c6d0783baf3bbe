using System.Globalization;
using Flint.App.Accounts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Api;

/// <summary>Texts that are kept of requests and answers, over the admin API.</summary>
internal sealed class AdminPrompts(AdminApi api)
{
    private const int UsualPage = 100;

    private static readonly string[] Filters = ["key", "user", "since", "limit"];

    private readonly Prompts _prompts = new(api.Store, api.Time);
    private readonly Keys _keys = new(api.Store, api.Time);

    /// <summary>Maps its routes.</summary>
    public void Map(RouteGroupBuilder admin)
    {
        admin.MapGet("/prompts", AdminApi.Handler(ListAsync));
        admin.MapDelete("/users/{user}", AdminApi.Handler(context => DeleteAsync(context, new PromptFilter { User = AdminApi.Value(context, "user") }, "a person")));
        admin.MapDelete("/keys/{key}/prompts", AdminApi.Handler(context =>
        {
            Key key = Find(AdminApi.Value(context, "key"));
            return DeleteAsync(context, new PromptFilter { Key = key.Id }, $"the key {key.Id}");
        }));
    }

    private Task ListAsync(HttpContext context)
    {
        IQueryCollection query = context.Request.Query;
        int limit = UsualPage;
        if (AdminApi.Query(query, "limit", Filters) is string count && (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is 0 or > ApiLimits.MaxRecords))
            throw ApiException.Invalid("limit", "invalid_value", $"Invalid 'limit': expected 1 to {ApiLimits.MaxRecords}, but got '{ApiException.Shorten(count)}'.");
        var filter = new PromptFilter
        {
            User = AdminApi.Query(query, "user", Filters),
            Key = AdminApi.Query(query, "key", Filters) is string handle ? Find(handle).Id : null,
            Since = AdminApi.QueryTime(query, "since", Filters),
        };
        var found = new List<PromptEntry>();
        _prompts.Export(filter, found.Add, limit);
        return AdminApi.ListAsync(context, found, AccountsJson.WritePrompt);
    }

    // Whose they were is not told to the log: it may be a person's name.
    private Task DeleteAsync(HttpContext context, PromptFilter filter, string whose)
    {
        (int prompts, int responses) = _prompts.Delete(filter);
        api.Note(context, $"deleted {prompts} texts and {responses} kept responses of {whose}");
        return AdminApi.AnswerAsync(context, writer =>
        {
            writer.WriteNumber("prompts"u8, prompts);
            writer.WriteNumber("responses"u8, responses);
        });
    }

    // A key that is revoked has left texts too.
    private Key Find(string handle) => _keys.Get(handle, isRevokedToo: true);
}
