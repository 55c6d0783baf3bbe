namespace Flint.App.Accounts;

/// <summary>What limits and spending belong to.</summary>
public enum OwnerKind
{
    /// <summary>A key.</summary>
    Key,

    /// <summary>A project: all its keys together.</summary>
    Project,

    /// <summary>An organisation: all its projects together.</summary>
    Organization,
}

/// <summary>A key, a project or an organisation, as limits and spending name it.</summary>
/// <param name="Kind">Which of them.</param>
/// <param name="Id">Its number.</param>
public readonly record struct Owner(OwnerKind Kind, long Id)
{
    /// <summary>The kind, as records and messages name it.</summary>
    public string KindName => Kind switch { OwnerKind.Key => "key", OwnerKind.Project => "project", _ => "organization" };

    /// <summary><c>KIND:ID</c>, as the store has it.</summary>
    public override string ToString() => $"{KindName}:{Id}";

    /// <summary>A key, its project and its organisation.</summary>
    public static Owner[] Of(Key key) => [new(OwnerKind.Key, key.Id), new(OwnerKind.Project, key.ProjectId), new(OwnerKind.Organization, key.OrganizationId)];
}
