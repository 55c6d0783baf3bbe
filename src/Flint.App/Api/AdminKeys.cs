using System.Globalization;
using System.Text.Json;
using Flint.App.Accounts;
using Flint.App.Serving;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Api;

/// <summary>Keys over the admin API. A key is called by its name, <c>ORGANISATION%2FPROJECT%2FNAME</c>, or the <c>prefix</c> that answers tell.</summary>
internal sealed class AdminKeys(AdminApi api)
{
    private const int MostOverlapSeconds = 366 * 86_400;
    private const int DayOfSeconds = 86_400;

    private static readonly string[] ScopeNames = ["models", "routes", "modes", "tools", "addresses", "policy", "profile", "prompts"];

    private static readonly string[] PromptFields = ["form", "days"];

    private readonly Keys _keys = new(api.Store, api.Time);

    /// <summary>Maps its routes.</summary>
    public void Map(RouteGroupBuilder admin)
    {
        admin.MapGet("/keys", AdminApi.Handler(ListAsync));
        admin.MapPost("/keys", AdminApi.Handler(CreateAsync));
        admin.MapGet("/keys/{key}", AdminApi.Handler(ShowAsync));
        admin.MapPut("/keys/{key}/limits", AdminApi.Handler(LimitAsync));
        admin.MapPut("/keys/{key}/policy", AdminApi.Handler(SetPolicyAsync));
        admin.MapPut("/keys/{key}/profile", AdminApi.Handler(SetProfileAsync));
        admin.MapPut("/keys/{key}/prompts", AdminApi.Handler(SetPromptsAsync));
        admin.MapPost("/keys/{key}/rotate", AdminApi.Handler(RotateAsync));
        admin.MapPost("/keys/{key}/disable", AdminApi.Handler(context => ChangeAsync(context, handle => _keys.Disable(handle, disabled: true), "disabled")));
        admin.MapPost("/keys/{key}/enable", AdminApi.Handler(context => ChangeAsync(context, handle => _keys.Disable(handle, disabled: false), "enabled")));
        admin.MapPost("/keys/{key}/revoke", AdminApi.Handler(context => ChangeAsync(context, _keys.Revoke, "revoked")));
    }

    private Task ListAsync(HttpContext context) => AdminApi.ListAsync(context, _keys.List(), AccountsJson.WriteKey);

    // A key for this API is made where the accounts are, by its command: whoever got hold of one cannot make more.
    private async Task CreateAsync(HttpContext context)
    {
        (string name, string? project, long? expires, KeyScopes scopes) = await AdminApi.ReadAsync(
            context, body => (body.RequiredText("name"), body.Text("project"), ReadTime(body, "expires"), ReadScopes(body)), "name", "project", "expires", "scopes");
        Project? owner = project is null ? null : new Organizations(api.Store, api.Time).FindProject(project);
        (Key key, string secret) = _keys.Create(name, owner, expires, scopes);
        api.Note(context, $"made the key {Named(key)}");
        await AdminApi.AnswerAsync(context, writer =>
        {
            AccountsJson.WriteKey(writer, key);
            writer.WriteString("secret"u8, secret);
        }, StatusCodes.Status201Created);
    }

    private Task ShowAsync(HttpContext context)
    {
        Key key = Find(context);
        return AdminApi.AnswerAsync(context, writer => AccountsJson.WriteWhole(writer, api.Store, key, _keys.Secrets(key)));
    }

    private Task LimitAsync(HttpContext context)
    {
        Key key = Find(context);
        return api.LimitAsync(context, new Owner(OwnerKind.Key, key.Id), $"the key {Named(key)}");
    }

    private async Task SetPolicyAsync(HttpContext context)
    {
        Key key = Find(context);
        string? policy = await AdminApi.ReadAsync(context, body => body.Text("policy"), "policy");
        key = _keys.SetPolicy(key.Prefix, policy);
        api.Note(context, $"gave the key {Named(key)} {(policy is null ? "the default policy" : $"the policy '{policy}'")}");
        await AdminApi.AnswerAsync(context, writer => AccountsJson.WriteKey(writer, key));
    }

    private async Task SetProfileAsync(HttpContext context)
    {
        Key key = Find(context);
        string? profile = await AdminApi.ReadAsync(context, body => body.Choice("profile", [.. KeyScopes.Profiles]), "profile");
        key = _keys.SetProfile(key.Prefix, profile);
        api.Note(context, $"gave the key {Named(key)} {(profile is null ? "the server's profile" : $"the profile '{profile}'")}");
        await AdminApi.AnswerAsync(context, writer => AccountsJson.WriteKey(writer, key));
    }

    private async Task SetPromptsAsync(HttpContext context)
    {
        Key key = Find(context);
        PromptLogging? prompts = await AdminApi.ReadAsync(context, ReadPrompts, PromptFields);
        key = _keys.SetPrompts(key.Prefix, prompts);
        api.Note(context, $"has texts of the key {Named(key)} kept {(prompts is null ? "no longer" : $"{prompts.Form}, for {prompts.Days} days")}");
        await AdminApi.AnswerAsync(context, writer => AccountsJson.WriteKey(writer, key));
    }

    private async Task RotateAsync(HttpContext context)
    {
        Key key = Find(context);
        int overlap = await AdminApi.ReadAsync(context, body => body.Int("overlap_seconds", 0, MostOverlapSeconds) ?? DayOfSeconds, "overlap_seconds");
        (key, string secret) = _keys.Rotate(key.Prefix, TimeSpan.FromSeconds(overlap));
        api.Note(context, $"gave the key {Named(key)} another secret");
        await AdminApi.AnswerAsync(context, writer =>
        {
            AccountsJson.WriteKey(writer, key);
            writer.WriteString("secret"u8, secret);
        });
    }

    private Task ChangeAsync(HttpContext context, Func<string, Key> change, string what)
    {
        Key key = change(AdminApi.Value(context, "key"));
        api.Note(context, $"{what} the key {Named(key)}");
        return AdminApi.AnswerAsync(context, writer => AccountsJson.WriteKey(writer, key));
    }

    private Key Find(HttpContext context) => _keys.Get(AdminApi.Value(context, "key"));

    private static string Named(Key key) => $"'{key.Organization}/{key.Project}/{key.Name}'";

    private static long? ReadTime(JsonFields body, string name)
    {
        if (body.Text(name) is not { } text)
            return null;
        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset moment)
            ? moment.ToUnixTimeMilliseconds()
            : throw ApiException.Invalid(name, "invalid_value", $"Invalid '{name}': expected a moment such as 2027-01-31T00:00:00Z, but got '{ApiException.Shorten(text)}'.");
    }

    private static KeyScopes ReadScopes(JsonFields body)
    {
        if (body.Object("scopes") is not JsonFields fields)
            return KeyScopes.All;
        if (fields.Element.TryGetProperty("admin", out _))
            throw ApiException.Invalid("scopes.admin", "unsupported_parameter", "A key for the admin API is made by the command flint keys create --admin, not over it.");
        AdminApi.RefuseOthers(fields, ScopeNames);
        var scopes = new KeyScopes
        {
            Models = Texts(fields, "models"),
            Routes = Texts(fields, "routes"),
            Modes = Texts(fields, "modes"),
            Tools = fields.Flag("tools") ?? true,
            Addresses = Texts(fields, "addresses"),
            Policy = fields.Text("policy"),
            Profile = fields.Choice("profile", [.. KeyScopes.Profiles]),
            Prompts = fields.Object("prompts") is JsonFields prompts ? ReadPrompts(prompts) : null,
        };
        if (scopes.Modes.FirstOrDefault(mode => ModePlan.Find(mode) is null) is { } unknown)
            throw JsonFields.InvalidChoice("scopes.modes", unknown, ModePlan.Names);
        return scopes;
    }

    private static PromptLogging? ReadPrompts(JsonFields fields)
    {
        AdminApi.RefuseOthers(fields, PromptFields);
        int? days = fields.Int("days", 1, PromptLogging.MaxDays);
        return PromptLogging.Of(fields.Choice("form", [.. PromptLogging.Forms]), days);
    }

    private static string[] Texts(JsonFields fields, string name)
    {
        if (fields.Array(name, KeyScopes.MaxEntries) is not JsonElement array)
            return [];
        int index = 0;
        return [.. array.EnumerateArray().Select(one => JsonFields.Text(one, $"{fields.PathOf(name)}[{index++}]"))];
    }
}
