using System.Text.Json;
using Flint.App.Accounts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Api;

/// <summary>Organisations and projects over the admin API.</summary>
internal sealed class AdminOwners(AdminApi api)
{
    private readonly Organizations _organizations = new(api.Store, api.Time);

    /// <summary>Maps its routes.</summary>
    public void Map(RouteGroupBuilder admin)
    {
        admin.MapGet("/organizations", AdminApi.Handler(ListAsync));
        admin.MapPost("/organizations", AdminApi.Handler(CreateAsync));
        admin.MapGet("/organizations/{organization}", AdminApi.Handler(ShowAsync));
        admin.MapPut("/organizations/{organization}/limits", AdminApi.Handler(LimitAsync));
        admin.MapGet("/organizations/{organization}/projects", AdminApi.Handler(ListProjectsAsync));
        admin.MapPost("/organizations/{organization}/projects", AdminApi.Handler(CreateProjectAsync));
        admin.MapGet("/organizations/{organization}/projects/{project}", AdminApi.Handler(ShowProjectAsync));
        admin.MapPut("/organizations/{organization}/projects/{project}/limits", AdminApi.Handler(LimitProjectAsync));
    }

    private Task ListAsync(HttpContext context) => AdminApi.ListAsync(context, _organizations.List(), Write);

    private async Task CreateAsync(HttpContext context)
    {
        Organization made = _organizations.Create(await ReadNameAsync(context));
        api.Note(context, $"made the organisation '{made.Name}'");
        await AdminApi.AnswerAsync(context, writer => Write(writer, made), StatusCodes.Status201Created);
    }

    private Task ShowAsync(HttpContext context)
    {
        Organization organization = Find(context);
        return AdminApi.AnswerAsync(context, writer =>
        {
            Write(writer, organization);
            AccountsJson.WriteLimits(writer, api.Store, Owner(organization));
        });
    }

    private Task LimitAsync(HttpContext context)
    {
        Organization organization = Find(context);
        return api.LimitAsync(context, Owner(organization), $"the organisation '{organization.Name}'");
    }

    private Task ListProjectsAsync(HttpContext context)
    {
        Organization owner = Find(context);
        return AdminApi.ListAsync(context, _organizations.ListProjects().Where(project => project.OrganizationId == owner.Id), Write);
    }

    private async Task CreateProjectAsync(HttpContext context)
    {
        Organization owner = Find(context);
        Project made = _organizations.CreateProject(owner.Name, await ReadNameAsync(context));
        api.Note(context, $"made the project '{made.Path}'");
        await AdminApi.AnswerAsync(context, writer => Write(writer, made), StatusCodes.Status201Created);
    }

    private Task ShowProjectAsync(HttpContext context)
    {
        Project project = FindProject(context);
        return AdminApi.AnswerAsync(context, writer =>
        {
            Write(writer, project);
            AccountsJson.WriteLimits(writer, api.Store, Owner(project));
        });
    }

    private Task LimitProjectAsync(HttpContext context)
    {
        Project project = FindProject(context);
        return api.LimitAsync(context, Owner(project), $"the project '{project.Path}'");
    }

    private Organization Find(HttpContext context) => _organizations.Find(AdminApi.Value(context, "organization"));

    private Project FindProject(HttpContext context) => _organizations.FindProject($"{Find(context).Name}/{AdminApi.Value(context, "project")}");

    private static Task<string> ReadNameAsync(HttpContext context) => AdminApi.ReadAsync(context, body => body.RequiredText("name"), "name");

    private static Owner Owner(Organization organization) => new(OwnerKind.Organization, organization.Id);

    private static Owner Owner(Project project) => new(OwnerKind.Project, project.Id);

    private static void Write(Utf8JsonWriter writer, Organization organization)
    {
        writer.WriteString("name"u8, organization.Name);
        writer.WriteTime("created", organization.Created);
    }

    private static void Write(Utf8JsonWriter writer, Project project)
    {
        writer.WriteString("name"u8, project.Name);
        writer.WriteString("organization"u8, project.Organization);
        writer.WriteTime("created", project.Created);
    }
}
